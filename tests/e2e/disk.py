"""
The disk under a gateway's store: what was written and synced is recorded, and single calls
are made to fail, by disk_shim.c, which is preloaded.
"""

import errno
import mmap
import os
import pathlib
import struct
import subprocess

SOURCE = pathlib.Path(__file__).with_name("disk_shim.c")
SYNC, WRITE, COMMIT = 1, 2, 4  # fdatasync; a write of pages; the synced write that commits
CALLS = {"fdatasync": SYNC, "write": WRITE, "commit": COMMIT}
FOR_EVER = 0xFFFFFFFF
CONTROL = struct.Struct("=IIIIII")  # struct control: calls countdown times error delay fired


def build_shim(directory):
    """Compiles the shim and returns its path."""
    library = pathlib.Path(directory) / "disk_shim.so"
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run(
        [*compiler, "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror",
         SOURCE, "-o", library],
        check=True, timeout=60,
    )
    return library


class Disk:
    """What is preloaded into one gateway: `env` is its environment."""

    def __init__(self, library, directory):
        directory = pathlib.Path(directory)
        directory.mkdir(exist_ok=True)
        self.log = directory / "disk.log"
        control = directory / "disk.control"
        control.write_bytes(bytes(CONTROL.size))
        with open(control, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), CONTROL.size)
        options = os.environ.get("ASAN_OPTIONS", "")
        self.env = {
            "LD_PRELOAD": str(library),
            "DISK_CONTROL": str(control),
            # a sanitizer wants to come first of all libraries; ours replaces nothing of its own
            "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0",
        }

    def record(self):
        """Makes the next start write the log."""
        self.env["DISK_LOG"] = str(self.log)

    def fail(self, calls, error="EIO", nth=1, times=1):
        """The `nth` of `calls` from now on fails, and those behind it, `times` in all."""
        self._arm(calls, nth, times, getattr(errno, error), 0)

    def cut_short(self, nth=1, times=1):
        """The `nth` write of pages from now on ends half-way."""
        self._arm(WRITE, nth, times, 0, 0)

    def delay(self, calls, delay_ms, nth=1, times=1):
        self._arm(calls, nth, times, 0, delay_ms)

    def mend(self):
        """Nothing fails any more."""
        self._arm(0, 0, 0, 0, 0)

    def _arm(self, calls, nth, times, error, delay_ms):
        self._map[: CONTROL.size] = CONTROL.pack(calls, nth, times, error, delay_ms, 0)

    @property
    def fired(self):
        """How many calls have failed, or were late, since it was last told what to do."""
        return CONTROL.unpack(self._map[: CONTROL.size])[-1]
