"""What the machine has and what this process uses of it.

Decides where the figures are read: /proc, the control group, the file system. Never judges them:
`alarms` does.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

_PAGE_BYTES = resource.getpagesize()
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MALLOC_KEEP_BYTES = 33_554_432  # the most that glibc takes for M_MMAP_THRESHOLD on 64 bits
_CHOSEN_BY_NOBODY = 1024  # the soft limit that systems hand out
_OPEN_FILES_WANTED = 65_536


def memory_total_bytes(
    mounted: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int:
    """Of the machine, or what the control groups of this process leave of it.

    mounted: where control groups are, of version 2 or 1; own: which ones are ours. Every group
    above ours limits it too.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for group in _memory_groups(mounted, own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # "max", or not there
                limits.append(int((group / name).read_text()))
    return min(limits)


def _memory_groups(mounted: Path, own: Path) -> Iterator[Path]:
    """From the roots down to ours; in a container ours may be the root itself."""
    roots = {"": mounted, "memory": mounted / "memory"}
    yield from roots.values()
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            group = roots.get(controller)
            if group is not None:
                for part in Path(path.lstrip("/")).parts:
                    group /= part
                    yield group


def memory_used_bytes() -> int:
    """Resident set of this process."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


def keep_freed_memory() -> None:
    """Ask the C library not to give memory back after every large message.

    By default glibc maps each block over 128 KiB anew and trims its heap, so that every copy of
    a large body pays for fresh pages: 1 MiB messages at 770/s, and 1,260/s this way. What is
    kept is bounded by the threshold. Another C library is left alone.
    """
    import ctypes  # 5 ms that a start should not wait for: the caller serves already

    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _MALLOC_KEEP_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _MALLOC_KEEP_BYTES)


def give_back_freed_memory() -> None:
    """Ask the C library for all of it, pages between used ones too. Takes milliseconds."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def disk_free_bytes(directory: Path) -> int:
    """What an unprivileged process may still write where the directory lies."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def host_name() -> str:
    """As the resolver spells it out, which is what RabbitMQ puts into the name of a cluster: an
    address of ours may lead back to another name. Asks the resolver."""
    name = socket.gethostname()
    try:
        return socket.gethostbyname_ex(name)[0]
    except OSError:
        return name


def open_files() -> int:
    """File descriptors in use."""
    return len(os.listdir("/proc/self/fd"))


def open_files_limit() -> int:
    """How many there may be."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def sockets_limit(open_files: int) -> tuple[int, int]:
    """Of so many open files, how many are reckoned with, and how many clients may have.

    observed: 3.10.8 keeps some descriptors for itself and a tenth of the rest for files.
    """
    usable = max(open_files - 97, 0)
    return usable, max(usable * 9 // 10 - 2, 1)


def raise_open_files_limit() -> None:
    """A soft limit that somebody set stays; the usual 1024 is raised as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != _CHOSEN_BY_NOBODY:
        return
    wanted = _OPEN_FILES_WANTED
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
