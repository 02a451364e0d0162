"""The fork server in standby: it has imported torch, and takes little memory beyond that."""

import ctypes
import mmap
import os
import re
import select
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

MAPPING = re.compile(r"^([0-9a-f]+-[0-9a-f]+) (\S+) \S+ \S+ \d+ +/.*\n((?:\w+: .*\n)+)", re.MULTILINE)
"""A mapping of a file: its addresses, its permissions, and its sizes; see smaps in proc(5)."""


def wait_until_needed() -> None:
    """Waits until the parent asks the fork server for a process. Called among the imports of the fork server.

    `multiprocessing` has given it a socket, on which the parent asks, and a pipe, which closes when the parent ends.

    Raises:
        SystemExit: the parent has ended.
    """
    if sys.platform != "linux":
        return
    awaited = select.poll()
    for descriptor in _inherited():
        awaited.register(descriptor, select.POLLIN)
    found = awaited.poll(0)
    if not found:
        _release_file_pages()
        found = awaited.poll()
    if not any(event & select.POLLIN for _, event in found):
        raise SystemExit


def _inherited() -> Iterator[int]:
    """The sockets and pipes of this process, apart from its standard streams."""
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2:
            try:
                mode = os.fstat(descriptor).st_mode
            except OSError:  # the descriptor of the listing itself
                continue
            if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
                yield descriptor


def _release_file_pages() -> None:
    """Gives back the pages of libraries that only the import has read, some 70 MiB. They are read again when needed.

    Only mappings without a changed page are given back. In the others the loader has written addresses.
    """
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for addresses, permissions, sizes in MAPPING.findall(Path("/proc/self/smaps").read_text()):
        begin, end = (int(one, 16) for one in addresses.split("-"))
        if "w" not in permissions and re.search("^Anonymous: +0 kB", sizes, re.MULTILINE):
            advise(begin, end - begin, mmap.MADV_DONTNEED)
