"""
The Debian package: installed, upgraded, removed and purged by dpkg itself, in a layer over this
very system.
"""

import os
import re
import subprocess

import pytest

from harness import ROOT, version
from layer import BUILD, can_layer, in_layer, run


def next_version(package, directory):
    """A package of a version to come: another number, and a default that has changed."""
    tree = directory / "tree"
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub("(?m)^Version: .*", "Version: 99.0", control.read_text()))
    conf = tree / "etc" / "waybill" / "waybill.conf"
    conf.write_text(conf.read_text() + "\n# of version 99\n")
    made = directory / "waybill_99.0.deb"
    run("dpkg-deb", "--root-owner-group", "-b", tree, made)
    return made


@pytest.mark.timeout(300)
def test_package_says_what_it_is(package):
    fields = run("dpkg-deb", "-f", package, "Package", "Version", "Depends")
    between = r"~git\d{8}\.\d+\.[0-9a-f]{7}(\+changed)?"  # two releases
    assert re.search(rf"(?m)^Version: {version()}({between})?$", fields)
    assert "libevent-core" in fields and "systemd" in fields
    assert "procps" in fields  # /bin/kill of the unit's reload
    contents = run("dpkg-deb", "-c", package)
    for path in (
        "usr/bin/waybill", "etc/waybill/waybill.conf", "usr/lib/sysusers.d/waybill.conf",
        "usr/lib/tmpfiles.d/waybill.conf", "usr/share/man/man1/waybill.1.gz",
        "usr/share/man/man5/waybill.conf.5.gz", "usr/share/doc/waybill/operations.md.gz",
        "usr/share/bash-completion/completions/waybill",
        "usr/share/doc/waybill/receivers/receiver.py",
        "usr/share/doc/waybill/examples/prometheus-rules.yml",
    ):
        assert f" ./{path}\n" in contents, path
    for unit in ("waybill.service", "waybill.socket"):  # below /usr since Debian 13
        assert re.search(rf"(?m) \./(usr/)?lib/systemd/system/{unit}$", contents), unit


def test_each_commit_is_an_upgrade_and_the_release_is_the_last(tmp_path):
    """Also of commits of one second; what is not committed is above what is."""
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com", "-C", tmp_path]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path),
                   "GIT_COMMITTER_DATE": "2026-11-30T23:30:00-0200"}

    def named():
        done = subprocess.run([ROOT / "etc" / "package-version", "1.2.0"], stdout=subprocess.PIPE,
                              text=True, check=True, cwd=tmp_path, env=environment)
        return done.stdout.strip()

    found = []
    run(*git, "init", "-q")
    for text in "abcdefghijkl":
        (tmp_path / "Makefile").write_text(text)
        run(*git, "add", "Makefile")
        run(*git, "commit", "-qm", text, env=environment)
        found.append(named())
    assert re.fullmatch(r"1\.2\.0~git20261201\.12\.[0-9a-f]{7}", found[-1])
    (tmp_path / "Makefile").write_text("m")
    found.append(named())
    assert found[-1] == found[-2] + "+changed"
    run(*git, "checkout", "-q", "Makefile")
    run(*git, "tag", "v1.1.0")  # another one's
    assert named() == found[-2]
    run(*git, "tag", "v1.2.0")
    found.append(named())
    assert found[-1] == "1.2.0"
    for lower, higher in zip(found, found[1:]):
        run("dpkg", "--compare-versions", lower, "lt", higher)


@pytest.mark.timeout(300)
def test_lintian_finds_nothing(package):
    (changes,) = BUILD.glob("*.changes")
    found = run("lintian", "--fail-on", "error,warning", "--allow-root", changes)
    assert not re.search("^[EW]:", found, re.M), found


# What an administrator does. `say` marks what the test looks for.
STORY = r"""
say() { echo "== $*"; }
# As on a machine that does not run systemd, or in an image that is being made.
rm -f /usr/sbin/policy-rc.d

dpkg -i /mnt/first.deb
say installed $(waybill version)
say user $(getent passwd waybill | cut -d: -f1,6,7)
say folders $(stat -c '%U:%G:%a' /etc/waybill /var/lib/waybill /etc/waybill/tokens | tr '\n' ' ')
say enabled $(cd /etc/systemd/system && echo */waybill.*)
systemd-analyze verify --man=no waybill.service waybill.socket && say verified
man --warnings -w 1 waybill >/dev/null && man --warnings -w 5 waybill.conf >/dev/null && say manuals
token=$(awk '!/^#/ { print $1 }' /etc/waybill/tokens)
say token $(printf %s "$token" | grep -cxE '[0-9a-f]{48}')

# As the unit starts it, and with a store that an upgrade has to keep.
ip link set lo up 2>/dev/null || true
AS_WAYBILL="setpriv --reuid waybill --regid waybill --clear-groups --"
$AS_WAYBILL waybill check-config -c /etc/waybill/waybill.conf
# A port that is free: another server may run on this machine.
serve() {
	: >/tmp/ready
	$AS_WAYBILL waybill serve -c /etc/waybill/waybill.conf --listen 127.0.0.1:0 >/tmp/ready &
	pid=$!
	timeout 20 sh -c 'until grep -q "^waybill ready" /tmp/ready; do :; done'
	url=$(sed 's/^waybill ready on //' /tmp/ready)
}
serve
curl -fsS "$url/api/v1/sessions/s/webhooks" -H "Authorization: Bearer $token" \
	--json '{"url":"http://192.0.2.1/"}' >/dev/null
say refused $(curl -sS -o /dev/null -w '%{http_code}' "$url/api/v1/sessions/s/webhooks")
kill $pid
wait $pid
say store $(stat -c '%U:%a' /var/lib/waybill/waybill.mdb)

echo 'log_level = warn' >>/etc/waybill/waybill.conf
dpkg -i --force-confold /mnt/second.deb
say upgraded $(dpkg-query -W -f '${Version}' waybill)
say kept $(grep -c '^log_level = warn' /etc/waybill/waybill.conf)
say same-token $(grep -cxF "$token *" /etc/waybill/tokens)
serve
say webhooks $(curl -fsS "$url/api/v1/sessions/s/webhooks" -H "Authorization: Bearer $token" |
	grep -o '"count":[0-9]*')
kill $pid
wait $pid

dpkg -r waybill
say removed $(ls -d /etc/waybill/waybill.conf /etc/waybill/tokens /var/lib/waybill | tr '\n' ' ')
dpkg -i --force-confold /mnt/first.deb
say again $(grep -cxF "$token *" /etc/waybill/tokens)
dpkg --purge waybill
say left $(find /etc /usr /lib /var -name '*waybill*' -not -path '*/doc/*' -newer /mnt/first.deb \
	-not -path '/var/tmp/*' -not -path /var/lib/dpkg/'*' 2>/dev/null | tr '\n' ' ')
say known $(dpkg-query -W -f '${db:Status-Status}' waybill 2>/dev/null || true)
say end
"""


@pytest.mark.timeout(300)
def test_install_upgrade_remove_purge(package, tmp_path):
    layer, packages = tmp_path / "layer", tmp_path / "packages"
    layer.mkdir()
    packages.mkdir()
    if not can_layer(layer):
        pytest.skip("needs root and overlays, to install without touching this system")
    run("cp", package, packages / "first.deb")
    next_version(package, tmp_path).rename(packages / "second.deb")
    done = in_layer(layer, STORY, packages)
    said = dict(
        (line[3:] + " ").split(" ", 1) for line in done.stdout.splitlines() if line[:3] == "== "
    )
    said = {name: text.strip() for name, text in said.items()}
    assert done.returncode == 0 and "end" in said, done.stdout
    assert said == {
        "installed": f"waybill {version()}",
        "user": "waybill:/var/lib/waybill:/usr/sbin/nologin",
        "folders": "root:waybill:750 waybill:waybill:700 root:waybill:640",
        "enabled": "multi-user.target.wants/waybill.service",
        "verified": "",
        "manuals": "",
        "token": "1",
        "refused": "401",
        "store": "waybill:600",
        "upgraded": "99.0",
        "kept": "1",
        "same-token": "1",
        "webhooks": '"count":1',
        "removed": "/etc/waybill/tokens /etc/waybill/waybill.conf /var/lib/waybill",
        "again": "1",
        "left": "",
        "known": "",
        "end": "",
    }, done.stdout
