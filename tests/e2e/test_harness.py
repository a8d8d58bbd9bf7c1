"""The harness itself, without a gateway: receiver, raw client, signatures, waiting."""

import socket
import ssl
import threading

import pytest
import requests
import trustme

from harness import (
    Hold, Link, ProtocolError, RawClient, Receiver, Request, close, delay, drip, flags, flood,
    interim, open_head, raw, read_request, redirect, reset, sign_standard, sign_v1, sign_v2,
    status, verify, wait_until,
)


def post(receiver, body=b"{}", session=None, **kwargs):
    kwargs = {"timeout": 5, "allow_redirects": False, **kwargs}
    if session:
        return session.post(receiver.url(), data=body, **kwargs)
    with requests.Session() as own:
        own.trust_env = False
        return own.post(receiver.url(), data=body, **kwargs)


def test_script_is_followed_and_its_last_line_repeats(make_receiver):
    receiver = make_receiver(503, status(201, b"made", [("X-A", "b")]), redirect("/x"), 204)
    answers = [post(receiver, str(n).encode()) for n in range(5)]
    assert [a.status_code for a in answers] == [503, 201, 302, 204, 204]
    assert answers[1].content == b"made" and answers[1].headers["X-A"] == "b"
    assert answers[2].headers["Location"] == "/x"
    assert [r.body for r in receiver.requests] == [b"0", b"1", b"2", b"3", b"4"]


def test_request_is_recorded_as_it_came(receiver):
    with RawClient((receiver.host, receiver.port)) as client:
        client.send(
            b"POST /a?b=%20c HTTP/1.1\r\nHOST: x\r\nx-OdD:  v w \r\nX-Two: 1\r\nX-Two: 2\r\n"
            b"Content-Length: 3\r\n\r\n\x00\xffz"
        )
        assert client.reply().status_code == 200
    (request,) = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/a?b=%20c", b"\x00\xffz")
    assert request.headers[:2] == (("HOST", "x"), ("x-OdD", "v w"))
    assert request.header("X-odd") == "v w" and request.header("X-None") is None
    with pytest.raises(AssertionError, match="came 2 times"):
        request.header("X-Two")


def test_connections_are_kept_and_numbered(receiver):
    with requests.Session() as session:
        session.trust_env = False
        post(receiver, session=session)
        post(receiver, session=session)
    post(receiver)
    assert [r.connection for r in receiver.requests] == [1, 1, 2]


@pytest.mark.parametrize("act", [reset(), close(), raw(b"no http\r\n\r\n")])
def test_broken_answers_are_errors_to_a_client(make_receiver, act):
    receiver = make_receiver(act, 200)
    with pytest.raises(requests.exceptions.RequestException):
        post(receiver)
    assert post(receiver).status_code == 200


@pytest.mark.parametrize("act", [Hold(), open_head(), delay(60)])
def test_silent_answers_time_out(make_receiver, act):
    with pytest.raises(requests.exceptions.RequestException):
        post(make_receiver(act), timeout=0.2)


@pytest.mark.parametrize("act", [drip(404), flood(404)])
def test_endless_bodies_come_behind_their_status(make_receiver, act):
    answer = post(make_receiver(act), stream=True)
    assert answer.status_code == 404
    assert len(answer.raw.read(3)) == 3
    answer.close()


def test_interim_answers_come_before_the_final_one(make_receiver):
    receiver = make_receiver(interim(100, 103, then=201))
    with RawClient((receiver.host, receiver.port)) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert [client.reply().status_code for _ in range(3)] == [100, 103, 201]


def test_held_requests_go_on_after_the_release(make_receiver):
    hold = Hold(then=201)
    receiver = make_receiver(hold)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(post(receiver).status_code))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    receiver.wait_for(3)
    assert answers == [] and receiver.peak == 3
    hold.release()
    for thread in threads:
        thread.join()
    assert answers == [201, 201, 201]


def test_script_can_be_replaced_and_the_port_taken_over(make_receiver):
    first = make_receiver(500)
    assert post(first).status_code == 500
    first.answer(410)
    assert post(first).status_code == 410
    first.close()
    with pytest.raises(requests.exceptions.ConnectionError):
        post(first)
    assert post(make_receiver(port=first.port)).status_code == 200


def test_tls(make_receiver, tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    receiver = make_receiver(tls=context)
    with pytest.raises(requests.exceptions.SSLError):
        post(receiver)
    assert post(receiver, verify=str(tmp_path / "ca.pem")).status_code == 200
    assert (len(receiver.requests), receiver.connections) == (1, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-A : b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\nX-A: b\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc",
    ],
)
def test_receiver_is_strict_about_http(data):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ProtocolError):
            read_request(Link(ours), 1)


def test_receiver_remembers_broken_http():
    receiver = Receiver()
    with RawClient((receiver.host, receiver.port)) as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.is_closed()
    receiver.close()
    assert len(receiver.errors) == 1


def test_receiver_that_ends_a_connection_blames_nobody(make_receiver):
    """Its own end, in the midst of a body, is no broken HTTP of the peer's."""
    receiver = make_receiver()
    for end in receiver.drop, receiver.close:
        with RawClient((receiver.host, receiver.port)) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
            wait_until(lambda: receiver._links)
            end()
            assert client.is_closed()
    assert receiver.errors == []


def test_signatures_against_published_vectors():
    # RFC 4231 section 4.3
    assert sign_v1("Jefe", b"what do ya want for nothing?") == (
        "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    assert sign_v2("Jefe", 7, b"{}") == sign_v1("Jefe", b"7.{}")
    # the example of the Standard Webhooks libraries' tests
    assert sign_standard(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    ) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def signed_request(signature="v1", **changed):
    body, secret = b'{"a":1}', "s3cret"
    sign = {"v1": sign_v1(secret, body), "v2": sign_v2(secret, "5", body)}[signature]
    headers = {
        "X-Webhook-Id": "e1",
        "X-Webhook-Timestamp": "5",
        "X-Webhook-Signature": sign,
        "webhook-id": "e1",
        "webhook-timestamp": "5",
        "webhook-signature": sign_standard(secret, "e1", "5", body),
    }
    if signature == "v2":
        headers["X-Webhook-Signature-Version"] = "v2"
    headers.update(changed.get("headers", {}))
    return Request("POST", "/", tuple(headers.items()), changed.get("body", body), 1, 0.0)


@pytest.mark.parametrize("signature", ["v1", "v2"])
def test_verify_accepts_what_is_right_and_nothing_else(signature):
    verify(signed_request(signature), "s3cret", signature)
    wrong = [
        (signed_request(signature), "other", signature),
        (signed_request(signature), "s3cret", "v1" if signature == "v2" else "v2"),
        (signed_request(signature, body=b'{"a":2}'), "s3cret", signature),
        *(
            (signed_request(signature, headers={name: "6"}), "s3cret", signature)
            for name in (
                "X-Webhook-Signature", "webhook-id", "webhook-timestamp", "webhook-signature"
            )
        ),
    ]
    for case in wrong:
        with pytest.raises(AssertionError):
            verify(*case)


def test_wait_until_gives_up():
    assert wait_until(lambda: 7) == 7
    with pytest.raises(AssertionError, match="the moon not met"):
        wait_until(lambda: None, timeout=0.05, what="the moon")


def test_options_become_flags():
    assert flags({"retry_schedule": "1s", "allow_cidr": ["a", "b"], "token": None}) == [
        "--retry-schedule", "1s", "--allow-cidr", "a", "--allow-cidr", "b",
    ]
