"""Where the API is served: IPv6, unix sockets and who may use them."""

import contextlib
import grp
import os
import pathlib
import pwd
import re
import socket
import stat
import tempfile

import pytest

from harness import RawClient, wait_until, waybill

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
IS_ROOT = os.geteuid() == 0


def has_ipv6():
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on loopback")


def livez(address, tls=None):
    with RawClient(address, tls) as client:
        client.send(GET)
        return client.reply().status_code


# IPv6


@needs_ipv6
@pytest.mark.parametrize("kind", ["http", "https"])
def test_ipv6_is_served(make_gateway, receiver, tls_options, kind):
    options = {**tls_options, "listen": "tls:[::1]:0"} if kind == "https" else {}
    gateway = make_gateway(**{"listen": "[::1]:0", **options})
    assert re.fullmatch(kind + r"://\[::1\]:\d+", gateway.url)
    gateway.register("s1", receiver.url())
    assert gateway.publish("s1")["deliveries"] == 1
    receiver.wait_for(1)


@needs_ipv6
def test_any_address_of_ipv6_takes_ipv4_too(make_gateway):
    _, port = make_gateway(listen="[::]:0").address
    assert [livez((host, port)) for host in ("::1", "127.0.0.1")] == [200, 200]


# Unix sockets


@pytest.fixture
def path():
    """Of a socket, in a folder whose name is short enough for one."""
    with tempfile.TemporaryDirectory(prefix="waybill") as folder:
        yield pathlib.Path(folder) / "api.sock"


@contextlib.contextmanager
def umask(value):
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def serve(make_gateway, path, **options):
    """Starts a gateway whose second listener is the socket."""
    gateway = make_gateway(listen=["127.0.0.1:0", f"unix:{path}"], **options)
    assert gateway.process.line(1) == f"waybill ready on unix:{path}"
    return gateway


def mode_of(path):
    status = path.stat()
    assert stat.S_ISSOCK(status.st_mode)
    return stat.S_IMODE(status.st_mode)


def test_unix_socket_is_served_and_removed_at_the_end(make_gateway, receiver, path):
    gateway = serve(make_gateway, path)
    gateway.register("s1", receiver.url())
    body = b'{"event":"message"}'
    with RawClient(path) as client:
        for _ in range(2):
            client.send(
                b"POST /api/v1/sessions/s1/events HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n"
                b"Authorization: Bearer %s\r\n\r\n" % (len(body), gateway.token.encode())
                + body
            )
            assert client.reply().status_code == 202
    receiver.wait_for(2)
    gateway.stop()
    assert not path.exists()


@pytest.mark.parametrize("mask", [0o000, 0o077])
@pytest.mark.parametrize("given, expected", [(None, 0o600), ("0660", 0o660), ("777", 0o777)])
def test_mode_of_the_socket_is_the_setting_whatever_the_umask(
    make_gateway, path, mask, given, expected
):
    with umask(mask):
        serve(make_gateway, path, unix_mode=given)
    assert mode_of(path) == expected
    assert livez(path) == 200


@pytest.mark.skipif(not IS_ROOT, reason="giving files away takes root")
@pytest.mark.parametrize("owner", ["nobody", "nobody:nogroup", ":nogroup", "65534:65534", "0:7"])
def test_owner_of_the_socket_is_the_setting(make_gateway, path, owner):
    serve(make_gateway, path, unix_owner=owner, unix_mode="0620")
    user, _, group = owner.partition(":")
    found = path.stat()
    number = {"nobody": pwd.getpwnam("nobody").pw_uid, "": os.geteuid()}
    assert found.st_uid == (number[user] if user in number else int(user))
    number = {"nogroup": grp.getgrnam("nogroup").gr_gid, "": os.getegid()}
    assert found.st_gid == (number[group] if group in number else int(group))
    assert mode_of(path) == 0o620


@pytest.mark.skipif(IS_ROOT, reason="root may give files away")
def test_owner_that_cannot_be_set_is_refused(tmp_path, path):
    done = waybill(
        "serve", "--listen", f"unix:{path}", "--data", tmp_path / "data", "--unix-owner", "root"
    )
    assert done.returncode == 1 and "unix_owner" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    "setting, value, words",
    [
        ("unix_mode", "8", "octal"), ("unix_mode", "1777", "octal"), ("unix_mode", "0o60", "octal"),
        ("unix_mode", "-1", "octal"), ("unix_mode", "00660", "octal"),
        ("unix_owner", "nobody:", "USER:GROUP"), ("unix_owner", ":", "USER:GROUP"),
        ("unix_owner", "no-such-user", "no user no-such-user"),
        ("unix_owner", "nobody:no-such-group", "no group no-such-group"),
        ("unix_owner", "4294967295", "no user 4294967295"),
    ],
)
def test_bad_mode_or_owner_is_refused_by_its_name(tmp_path, path, setting, value, words):
    flags = ["--" + setting.replace("_", "-"), value, "--listen", f"unix:{path}"]
    for command in (["check-config"], ["serve", "--data", tmp_path / "data"]):
        done = waybill(*command, *flags)
        assert done.returncode == 1 and done.stdout == ""
        assert setting in done.stderr and words in done.stderr
    assert not path.exists()


def test_socket_of_a_killed_process_is_replaced(make_gateway, path):
    gateway = serve(make_gateway, path)
    gateway.kill()
    assert path.exists()
    gateway.start()
    assert livez(path) == 200


def test_socket_that_is_in_use_is_left_alone(make_gateway, tmp_path, path):
    serve(make_gateway, path)
    done = waybill("serve", "--listen", f"unix:{path}", "--data", tmp_path / "other")
    assert done.returncode == 1 and f"unix:{path}" in done.stderr
    assert livez(path) == 200


def test_file_that_is_no_socket_is_left_alone(tmp_path, path):
    path.write_text("precious")
    done = waybill("serve", "--listen", f"unix:{path}", "--data", tmp_path / "data")
    assert done.returncode == 1 and f"unix:{path}" in done.stderr
    assert path.read_text() == "precious"


# Clients that read slowly or not at all, on every kind of listener


@pytest.mark.parametrize("kind", ["http", "https"])
def test_client_that_does_not_read_is_cut(make_gateway, receiver, tls_options, kind):
    gateway = make_gateway(**(tls_options if kind == "https" else {}), idle_timeout_ms=1000)
    idle = gateway.process.descriptors()
    for number in range(10):
        gateway.register("s1", receiver.url(f"/{number}/" + "x" * 2000))
    request = b"GET /api/v1/sessions/s1/webhooks HTTP/1.1\r\nHost: x\r\n" + (
        b"Authorization: Bearer %s\r\n\r\n" % gateway.token.encode()
    )
    answer = len(gateway.request("GET", "/api/v1/sessions/s1/webhooks").content)
    count = 20_000_000 // answer  # more than the buffers of both ends
    with gateway.connect() as client:
        client.send(request)
        assert client.reply().status_code == 200
        wait_until(lambda: gateway.process.descriptors() == idle + 1, what="one connection")
        for _ in range(count):
            client.send(request)
        wait_until(
            lambda: gateway.process.descriptors() == idle, 20, "the end of the connection"
        )
