"""Tokens that are lost on the way to the gateway: nobody must be served more for it."""

import signal
import socket

import pytest

from harness import expect_error, wait_until, waybill

NO_TOKEN = {
    "empty": b"",
    "only comments": b"# tokens\n  # of the shop\n",
    "only white space": b" \n\t\n\r\n",
    "a token behind a comment's mark": b"#c0ffee-full-token *\n",
}
UNREADABLE = {
    "a mark in front": b"\xef\xbb\xbf# tokens\n",
    "UTF-16": "c0ffee-full-token *\n".encode("utf-16"),
    "NUL bytes of a lost write": bytes(64),
    "a token that is cut": b"c0ffee\n",
    "a pattern of sessions": b"c0ffee-full-token shop-*\n",
    "all and some": b"c0ffee-full-token * shop\n",
}
BARE = "a token without sessions reaches all of them"


def commands(tmp_path):
    """The two that read a configuration to begin with."""
    return ["check-config"], ["serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0"]


def expect_refusal(tmp_path, *flags, words, env=None):
    for command in commands(tmp_path):
        done = waybill(*command, *flags, env=env)
        assert done.returncode in (1, 2), (command, done)
        assert words in done.stderr and done.stdout == "", (command, done)


def reload(gateway):
    seen = len(gateway.log_text())
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in gateway.log_text()[seen:], what="a reload")
    return gateway.log_text()[seen:]


@pytest.mark.parametrize("content", NO_TOKEN.values(), ids=NO_TOKEN)
@pytest.mark.parametrize("token", [[], ["--token", "another-token"]], ids=["alone", "beside"])
def test_tokens_file_without_a_token(tmp_path, content, token):
    path = tmp_path / "tokens"
    path.write_bytes(content)
    expect_refusal(
        tmp_path, "--tokens-file", path, *token, words=f"{path}: holds no token"
    )


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_tokens_file_of_something_else(tmp_path, content):
    path = tmp_path / "tokens"
    path.write_bytes(content)
    expect_refusal(tmp_path, "--tokens-file", path, words=f"{path}: line 1: ")


@pytest.mark.parametrize("kind", ["none", "folder"])
def test_tokens_file_that_cannot_be_read(tmp_path, kind):
    path = tmp_path / "tokens"
    if kind == "folder":
        path.mkdir()
    expect_refusal(tmp_path, "--tokens-file", path, words=f"{path}: cannot be read: ")


@pytest.mark.parametrize("name", ["WAYBILL_TOKEN", "WAYBILL_TOKENS_FILE"])
@pytest.mark.parametrize("value", ["", "   "])
def test_variable_without_a_value(tmp_path, name, value):
    words = "token" if name == "WAYBILL_TOKEN" else "tokens_file"
    expect_refusal(tmp_path, words=words, env={name: value})


@pytest.mark.parametrize(
    "content", [*NO_TOKEN.values(), *UNREADABLE.values(), None],
    ids=[*NO_TOKEN, *UNREADABLE, "gone"],
)
def test_reload_keeps_the_tokens(make_gateway, tmp_path, content):
    path = tmp_path / "tokens"
    path.write_text("first-token *\n")
    gateway = make_gateway(token=None, tokens_file=path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    log = reload(gateway)
    assert 'level=error msg="the configuration was not reloaded"' in log and str(path) in log
    expect_error(gateway.api("GET", "/sessions/s1/webhooks", token=""), 401)
    assert gateway.api("GET", "/sessions/s1/webhooks", token="first-token").ok


def test_reload_of_an_emptied_configuration_keeps_the_tokens(make_gateway, tmp_path):
    path = tmp_path / "waybill.conf"
    path.write_text("token = first-token\n")
    gateway = make_gateway(token=None, config=path)
    path.write_text("")
    log = reload(gateway)
    assert "level=error" in log and "no token is left" in log
    expect_error(gateway.api("GET", "/sessions/s1/webhooks", token=""), 401)
    assert gateway.api("GET", "/sessions/s1/webhooks", token="first-token").ok


@pytest.mark.parametrize(
    "line, warned",
    [
        ("full-token *", False),
        ("full-token\t*  # the publisher", False),
        ("full-token", True),
        ("full-token # shop", True),
    ],
)
def test_token_for_all_sessions_says_so(make_gateway, tmp_path, line, warned):
    path = tmp_path / "tokens"
    path.write_text(f"# ours\nshop-token shop\n{line}\n")
    path.chmod(0o600)
    done = waybill("check-config", "--tokens-file", path)
    assert done.returncode == 0
    assert (BARE in done.stderr) == warned
    gateway = make_gateway(token=None, tokens_file=path)
    assert (BARE in gateway.log_text()) == warned
    if warned:
        for text in (done.stderr, gateway.log_text()):
            assert "line=3" in text and "full-token" not in text
    assert gateway.api("GET", "/sessions/other/webhooks", token="full-token").ok
    expect_error(gateway.api("GET", "/sessions/other/webhooks", token="shop-token"), 403)


# check-config refuses what serve does


def expect_same_refusal(tmp_path, *flags, data=None):
    data = data or tmp_path / "data"
    checked = waybill("check-config", *flags, "--data", data)
    served = waybill("serve", *flags, "--data", data)
    assert (checked.returncode, served.returncode) == (1, 1), (checked, served)
    return checked.stderr, served.stderr


@pytest.mark.parametrize("where", ["0.0.0.0:0", "[::]:0", "127.0.0.1:0,0.0.0.0:0"])
def test_address_that_needs_a_token(tmp_path, where):
    for words in expect_same_refusal(tmp_path, "--listen", where):
        assert "is not loopback: that needs a token or a tokens_file" in words
    assert waybill("check-config", "--listen", where, "--token", "some-token").returncode == 0


@pytest.mark.parametrize(
    "listen",
    ["192.0.2.1:8080", "unix:{}/nowhere/socket", "unix:{}/file", "[2001:db8::1]:8080"],
)
@pytest.mark.parametrize("setting", ["--listen", "--metrics-listen"])
def test_address_that_is_not_ours(tmp_path, listen, setting):
    (tmp_path / "file").write_text("")
    flags = [setting, listen.format(tmp_path), "--token", "some-token"]
    if setting != "--listen":
        flags += ["--listen", "127.0.0.1:0"]
    checked, served = expect_same_refusal(tmp_path, *flags)
    assert checked.removeprefix("waybill check-config: ") in served
    assert (tmp_path / "file").exists()


def test_address_that_is_there_twice(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    for words in expect_same_refusal(tmp_path, "--listen", f"{where},{where}"):
        assert where in words
    expect_same_refusal(tmp_path, "--listen", where, "--metrics-listen", where)


def test_addresses_of_the_running_gateway_are_fine(make_gateway, tmp_path):
    path = tmp_path / "socket"
    gateway = make_gateway(listen=["127.0.0.1:0", f"unix:{path}"])
    where = gateway.url.removeprefix("http://")
    done = waybill("check-config", "--listen", f"{where},unix:{path}")
    assert done.returncode == 0, done.stderr
    assert path.is_socket() and gateway.api("GET", "/sessions/s/webhooks").ok


def test_free_unix_socket_is_left_free(tmp_path):
    path = tmp_path / "socket"
    assert waybill("check-config", "--listen", f"unix:{path}").returncode == 0
    assert not path.exists()


@pytest.mark.parametrize("data", ["file", "file/below", "nowhere/below"])
def test_folder_that_cannot_be_had(tmp_path, data):
    (tmp_path / "file").write_text("")
    checked, _ = expect_same_refusal(
        tmp_path, "--listen", "127.0.0.1:0", data=tmp_path / data
    )
    assert str(tmp_path / data) in checked


@pytest.mark.parametrize("data", ["new", "new/", "there", "there/new"])
def test_folder_that_can_be_had(tmp_path, data):
    (tmp_path / "there").mkdir()
    done = waybill("check-config", "--data", f"{tmp_path}/{data}")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "new").exists()
