"""
Opens sockets and becomes a command that gets them, as systemd starts a service with sockets:
pass_sockets.py [--pid N] [NAME=]ADDRESS… -- COMMAND…

ADDRESS is HOST:PORT, [V6]:PORT, /PATH or @ABSTRACT; behind "quiet:" it does not listen, behind
"datagram:" it is no stream. `--pid`: whom the sockets are for; the command, unless it is given.
"""

import os
import socket
import sys

FIRST = 3  # SD_LISTEN_FDS_START


def open_socket(address):
    kind, _, rest = address.partition(":")
    listens = kind not in ("quiet", "datagram")
    address = address if listens else rest
    style = socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM
    if address[0] in "/@":
        made = socket.socket(socket.AF_UNIX, style)
        made.bind(address.replace("@", "\0") if address[0] == "@" else address)
    else:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if host[0] == "[" else socket.AF_INET
        made = socket.socket(family, style)
        made.bind((host.strip("[]"), int(port)))
    if listens:
        made.listen()
    return made


def main(arguments):
    pid = os.getpid()
    if arguments[0] == "--pid":
        pid, arguments = int(arguments[1]), arguments[2:]
    split = arguments.index("--")
    pairs = [a.split("=", 1) if "=" in a else ("unknown", a) for a in arguments[:split]]
    opened = [open_socket(address).detach() for _, address in pairs]
    high = [os.dup2(fd, 100 + at) for at, fd in enumerate(opened)]  # out of the way
    for at, fd in enumerate(high):
        os.dup2(fd, FIRST + at, inheritable=True)
    os.closerange(FIRST + len(pairs), 200)
    os.environ |= {
        "LISTEN_PID": str(pid),
        "LISTEN_FDS": str(len(pairs)),
        "LISTEN_FDNAMES": ":".join(name for name, _ in pairs),
    }
    os.execvp(arguments[split + 1], arguments[split + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
