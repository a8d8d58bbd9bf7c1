"""etc/nginx and etc/haproxy as they are shipped, but for the lines marked "# yours", as proxies."""

import os
import shutil
import socket
import subprocess

from harness import ROOT, Gateway, tls_client, wait_until

HOST = "waybill.example"
NAMES = ("one", "two", "three")
FRONTS = ("nginx", "haproxy")

WITH_SBIN = os.environ["PATH"] + ":/usr/sbin"
ARE_THERE = all(shutil.which(program, path=WITH_SBIN) for program in FRONTS)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def substitute(text, values):
    """`text` with other values on the lines that end in "# yours"; each has to be there."""
    lines = text.splitlines(keepends=True)
    for old, new in values.items():
        found = False
        for i, line in enumerate(lines):
            if old in line and "# yours" in line:
                lines[i], found = line.replace(old, new), True
        assert found, f"{old} is not in a line that is marked"
    return "".join(lines)


NGINX_AROUND = """
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
{user}
events {{ worker_connections 1024; }}
http {{
	access_log off;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	include {folder}/waybill.conf;
}}
"""


class Front(Gateway):
    """A proxy with a configuration of etc/; `url` and all calls of a gateway go through it."""

    def __init__(self, kind, sharded, folder, sockets, token, authority, run):
        self.kind, self.token, self.tls = kind, token, tls_client(authority)
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        names = [HOST, *(f"{name}.{HOST}" for name in NAMES), "127.0.0.1"]
        certificate = authority.issue_cert(*names)
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "waybill.pem")
        name = "waybill-sharded" if sharded else "waybill"
        self.write = self.write_nginx if kind == "nginx" else self.write_haproxy
        self.command = self.write(name, sockets)
        self.process = run(*self.command)
        wait_until(self.answers, what=f"{kind} on {self.port}")

    def write_nginx(self, name, sockets):
        text = (ROOT / "etc" / "nginx" / f"{name}.conf").read_text()
        text = substitute(text, {
            "443 ": f"127.0.0.1:{self.port} ",
            "/etc/ssl/waybill": str(self.folder),
            **sockets,
        })
        (self.folder / "waybill.conf").write_text(text)
        user = "user root;" if os.geteuid() == 0 else ""
        main = self.folder / "nginx.conf"
        main.write_text(NGINX_AROUND.format(folder=self.folder, user=user))
        return ["/usr/sbin/nginx", "-e", self.folder / "nginx.log", "-c", main]

    def write_haproxy(self, name, sockets):
        text = (ROOT / "etc" / "haproxy" / f"{name}.cfg").read_text()
        text = substitute(text, {
            "bind :443": f"bind 127.0.0.1:{self.port}",
            "/etc/haproxy/waybill.pem": str(self.folder / "waybill.pem"),
            **sockets,
        })
        (self.folder / "waybill.cfg").write_text(text)
        return ["/usr/sbin/haproxy", "-db", "-f", self.folder / "waybill.cfg"]

    def answers(self):
        assert self.process.running, f"{self.kind} ended: {self.log_text()}"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except ConnectionRefusedError:
            return False
        return True

    def log_text(self):
        log = self.folder / "nginx.log"
        return log.read_text() if log.exists() else ""

    def check(self):
        """What the program itself says about the configuration."""
        extra = ["-t"] if self.kind == "nginx" else ["-c"]
        return subprocess.run(
            [*map(str, self.command), *extra], capture_output=True, text=True, timeout=20
        )


def behind(make_gateway, folder, name, **options):
    """A gateway as the files want it: on a unix socket, and beside it on a port for the test."""
    return make_gateway(
        listen=["127.0.0.1:0", f"unix:{folder}/{name}.sock"], trusted_proxies="unix", **options
    )
