"""What the node keeps on disc: cookie, directories, room for more and how fast it is there."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Any

from mqctl.doctor.findings import ERROR, WARNING, Check, Finding, Seen
from mqctl.doctor.words import restart, size, start

SYNC_SLOW_US = 25_000
SYNC_BAD_US = 250_000
DISC_COMFORT = 2  # times the limit


def cookie(facts: Any, seen: Seen) -> Iterator[Finding]:
    """There, the node's alone, and the one that this tool has."""
    found = facts.cookie
    if not found.path:
        return
    path = quote(found.path)
    if found.trouble:
        yield Finding(
            ERROR,
            f"the cookie file {found.path} {found.trouble}",
            "the node cannot start without its cookie",
            f"rm -f {path} && {restart(facts) if seen.answered else start(facts)}",
        )
    elif not found.exists and seen.answered:
        yield Finding(
            WARNING,
            f"the cookie file {found.path} is gone, while the node still has its cookie",
            "the next start makes another cookie, and tools and other nodes are refused",
            restart(facts),
        )
    if found.exists and found.mode & 0o077:
        yield Finding(
            ERROR,
            f"the cookie file {found.path} has mode {found.mode:04o}: others may use it",
            "whoever reads it may do everything with the node",
            f"chmod 400 {path}",
        )
    if found.exists and found.owner_uid != facts.uid:
        yield Finding(
            ERROR,
            f"the cookie file {found.path} is {found.owner}'s; the node runs as {facts.user}",
            "the node may not read it, and does not start",
            f"chown {quote(facts.user)}: {path} && chmod 400 {path}",
        )
    if seen.answered and found.file_hash and found.file_hash != found.hash:
        yield Finding(
            WARNING,
            f"the node started with another cookie than {found.path} has now",
            "tools that read the file are refused until the node has started again",
            restart(facts),
        )
    theirs = found.hash if seen.answered or seen.is_here else ""
    if not seen.answered and theirs and seen.cookie_hash and theirs != seen.cookie_hash:
        yield Finding(
            ERROR if facts.pid else WARNING,
            "this tool's cookie is another one than the node's",
            "the node refuses whoever has not its cookie",
            f"install -m 400 {path} ~/.erlang.cookie",
        )


def cookie_says(facts: Any, seen: Seen) -> str:
    found = facts.cookie
    if not found.path:
        return ""
    if not found.exists:
        return f"{found.path} is not there yet: the first start makes it"
    same = ", the same as this tool's" if seen.cookie_hash == found.hash else ""
    return f"{found.path}, mode {found.mode:04o}, {found.owner}'s{same}"


def directories(facts: Any, seen: Seen) -> Iterator[Finding]:
    """Whose they are."""
    for found in facts.directories:
        path, user = quote(found.path), quote(facts.user)
        if not found.exists:
            if seen.answered and found.purpose == "data":
                yield Finding(
                    ERROR,
                    f"the data directory {found.path} is not there",
                    "what the node accepts is not kept",
                    f"install -d -o {user} -m 750 {path} && {restart(facts)}",
                )
            continue
        mend = f"chown -R {user}: {path}"
        if found.owner_uid != facts.uid:
            yield Finding(
                ERROR,
                f"the {found.purpose} directory {found.path} is {found.owner}'s; the node runs as "
                f"{facts.user}",
                "the node cannot write there, and does not start",
                mend,
            )
        elif found.foreign_count:
            yield Finding(
                ERROR if found.purpose == "data" else WARNING,
                f"{found.foreign_count} files in {found.path} are another user's: "
                f"{found.foreign_example}",
                "the node cannot change them: it was started once as another user, or a copy was "
                "put back",
                mend,
            )


def directories_say(facts: Any, seen: Seen) -> str:
    there = [found.path for found in facts.directories if found.exists]
    if not there:
        return "not there yet: the first start makes them" if facts.directories else ""
    return f"{', '.join(there)}, {facts.user}'s"


def disc(facts: Any, seen: Seen) -> Iterator[Finding]:
    """Free space, and against which limit."""
    found = facts.disc
    if not found.path:
        return
    look = f"du -xh --max-depth=2 {quote(found.path)} /var/log | sort -h | tail -20"
    if found.free_bytes < found.limit_bytes:
        yield Finding(
            ERROR,
            f"{size(found.free_bytes)} are free where {found.path} lies, less than the limit of "
            f"{size(found.limit_bytes)}",
            "publishers are blocked until there is more",
            look,
        )
    elif found.free_bytes < DISC_COMFORT * found.limit_bytes:
        yield Finding(
            WARNING,
            f"{size(found.free_bytes)} are free where {found.path} lies; below "
            f"{size(found.limit_bytes)} publishers are blocked",
            "a backlog of that size blocks them",
            look,
        )
    if found.inodes and found.free_inodes < found.inodes // 100:
        yield Finding(
            ERROR,
            f"{found.free_inodes} more files can be made where {found.path} lies",
            "a full file system is one without room for names, too",
            f"df -i {quote(found.path)}",
        )
    if found.trouble:
        yield Finding(
            WARNING,
            f"how fast the disc is could not be measured in {found.path}: {found.trouble}",
            "confirms wait for it",
            f"ls -ld {quote(found.path)}",
        )


def disc_says(facts: Any, seen: Seen) -> str:
    found = facts.disc
    if not found.path:
        return ""
    return f"{size(found.free_bytes)} free, the limit is {size(found.limit_bytes)}"


def latency(facts: Any, seen: Seen) -> Iterator[Finding]:
    """Every confirm of a persistent message waits for a sync."""
    found = facts.disc
    if found.sync_count and found.sync_median_us > SYNC_SLOW_US:
        yield Finding(
            ERROR if found.sync_median_us > SYNC_BAD_US else WARNING,
            f"a write takes {found.sync_median_us / 1000:.0f} ms until it is on disc "
            f"({found.sync_max_us / 1000:.0f} ms at worst)",
            "publisher confirms of persistent messages and declarations wait so long",
            f"iostat -x 1 5; findmnt -T {quote(found.path)}",
        )


def latency_says(facts: Any, seen: Seen) -> str:
    found = facts.disc
    if not found.sync_count:
        return ""
    return (
        f"{found.sync_median_us / 1000:.1f} ms until a write is on disc, "
        f"{found.sync_max_us / 1000:.1f} ms at worst of {found.sync_count}"
    )


CHECKS = (
    Check("cookie", cookie, cookie_says),
    Check("directories", directories, directories_say),
    Check("disc_space", disc, disc_says),
    Check("disc_latency", latency, latency_says),
)
