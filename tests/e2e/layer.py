"""
A layer over this very system that nobody else sees (an overlay in a mount namespace), in which a
package can be installed and servers started; it is thrown away with the process.
"""

import fcntl
import os
import subprocess

from harness import ROOT

BUILD = ROOT / "build" / "deb"
# With it all that runs in there ends.
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]

# Makes $1 an empty layer over /, with $3 in /mnt, and runs the script $2 in there.
IN_LAYER = r"""
set -eu
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs none "$1/root/run"
mount --bind "$3" "$1/root/mnt"
exec chroot "$1/root" /bin/sh -euc "$2"
"""


def can_layer(directory):
    if os.geteuid() != 0:
        return False
    return in_layer(directory, "true", ROOT).returncode == 0


def in_layer(directory, script, shown, own_network=False, timeout=280):
    """Runs `script` where / is a layer of its own; the folder `shown` is in /mnt."""
    network = ["--net"] if own_network else []
    return subprocess.run(
        [*UNSHARE, *network, "sh", "-c", IN_LAYER, "sh", directory, script, shown],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
             "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "PYTHONDONTWRITEBYTECODE": "1"},
    )


def run(*command, **options):
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300, **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build_package():
    """The package, built once: make knows whether it is there."""
    BUILD.parent.mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "WAYBILL"))}
    with open(BUILD.parent / "deb.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other workers wait for this one
        run("make", "-C", ROOT, "deb", env=environment)
    (built,) = BUILD.glob("waybill_*.deb")
    return built
