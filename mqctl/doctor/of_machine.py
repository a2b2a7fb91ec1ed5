"""What the machine gives the node: names, time, memory, files that may be open."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Any

from mqctl.doctor.findings import ERROR, WARNING, Check, Finding, Seen
from mqctl.doctor.words import day, restart, size, start

OPEN_FILES_WANTED = 65_536  # RabbitMQ's guide, for production
OPEN_FILES_LEAST = 4096  # the same, for development
CLOCK_APART_MS = 5_000
CLOCK_FIRST_MS = 1_704_067_200_000  # 2024: mqd is younger
CLOCK_LAST_MS = 4_102_444_800_000  # 2100
SWAPPED_BYTES = 67_108_864
MEMORY_SHARE_MAX = 0.8


def names(facts: Any, seen: Seen) -> Iterator[Finding]:
    """The node name's host leads here, and back."""
    found = facts.names
    if not found.host:
        return
    host = quote(found.host)
    if not found.addresses:
        yield Finding(
            ERROR,
            f"the host name '{found.host}' does not resolve: {found.trouble or 'no address'}",
            "other nodes and tools on other machines find the node by it",
            f"echo '127.0.1.1 {found.host}' >>/etc/hosts",
        )
        return
    shown = ", ".join(found.addresses)
    if not found.is_local:
        yield Finding(
            ERROR,
            f"the host name '{found.host}' is {shown}, and no address of this machine",
            "who is told of this node goes to another machine",
            f"sed -i '/[[:space:]]{host}\\([[:space:]]\\|$\\)/d' /etc/hosts && "
            f"echo \"$(hostname -I | cut -d' ' -f1) {found.host}\" >>/etc/hosts",
        )
    short = found.host.partition(".")[0]
    alone = found.host in ("localhost", "127.0.0.1") or all(
        address.startswith("127.") or address == "::1" for address in found.addresses
    )
    back = {name.partition(".")[0] for name in found.back}
    if short not in back and not alone:
        away = ", ".join(found.back) or "no name"
        yield Finding(
            WARNING,
            f"{shown} leads back to {away}, not to '{found.host}'",
            "peers and logs show the machine under another name",
            f"echo '{found.addresses[0]} {found.host}' >>/etc/hosts",
        )


def names_say(facts: Any, seen: Seen) -> str:
    found = facts.names
    return f"'{found.host}' is {', '.join(found.addresses)}, of this machine" if found.host else ""


def clock(facts: Any, seen: Seen) -> Iterator[Finding]:
    """It is sane, and somebody keeps it so."""
    found = facts.clock
    if not found.now_ms:
        return
    mend = "timedatectl set-ntp true"
    if not CLOCK_FIRST_MS < found.now_ms < CLOCK_LAST_MS:
        yield Finding(
            ERROR,
            f"the clock shows {day(found.now_ms)}",
            "certificates are not valid at that time, and timestamps mean nothing",
            mend,
        )
    elif found.newest_file_ms > found.now_ms + CLOCK_APART_MS:
        ahead = (found.newest_file_ms - found.now_ms) // 1000
        yield Finding(
            WARNING,
            f"the node's newest file is {ahead} s in the future",
            "the clock was set back; streams keep or drop by the time of their messages",
            mend,
        )
    apart = abs(found.now_ms - seen.now_ms) if seen.answered and seen.now_ms else 0
    if apart > CLOCK_APART_MS and not seen.is_here:
        yield Finding(
            WARNING,
            f"the node's clock and this machine's are {apart // 1000} s apart",
            "logs of the two cannot be put side by side",
            f"{mend}  # on both machines",
        )
    if found.HasField("synchronised") and not found.synchronised:
        yield Finding(
            WARNING,
            "nobody keeps the clock right: the kernel says that it is not synchronised",
            "it drifts; logs, timestamps and the age of streams' messages drift with it",
            mend,
        )


def clock_says(facts: Any, seen: Seen) -> str:
    found = facts.clock
    if not found.now_ms:
        return ""
    known = "synchronised" if found.HasField("synchronised") else "whether synchronised is not told"
    return f"{day(found.now_ms)}, {known}"


def open_files(facts: Any, seen: Seen) -> Iterator[Finding]:
    """Enough of them."""
    found = facts.open_files
    if not found.limit:
        return
    mend = f"ulimit -n {OPEN_FILES_WANTED} && {restart(facts)}"
    if not seen.answered:
        mend = f"ulimit -n {OPEN_FILES_WANTED} && {start(facts)}"
    if facts.service.is_ours:
        folder = f"/etc/systemd/system/{facts.service.unit}.d"
        mend = (
            f"mkdir -p {folder} && printf '[Service]\\nLimitNOFILE={OPEN_FILES_WANTED}\\n' "
            f">{folder}/limits.conf && systemctl daemon-reload && {restart(facts)}"
        )
    if found.used > found.limit * 0.9:
        yield Finding(
            ERROR,
            f"{found.used} of {found.limit} files and sockets are open",
            "soon the node can accept no connection and open no file",
            mend,
        )
    elif found.limit < OPEN_FILES_LEAST:
        yield Finding(
            WARNING,
            f"only {found.limit} files and sockets may be open at a time",
            f"each connection takes one; {OPEN_FILES_WANTED} are recommended",
            mend,
        )


def open_files_say(facts: Any, seen: Seen) -> str:
    found = facts.open_files
    used = f"{found.used} of {found.limit} in use" if found.used else f"{found.limit} may be open"
    return used if found.limit else ""


def memory(facts: Any, seen: Seen) -> Iterator[Finding]:
    """The watermark is one that works."""
    found = facts.memory
    if not found.total_bytes:
        return
    mend = f"mqctl -n {quote(facts.node)} set_vm_memory_high_watermark 0.4"
    if not seen.answered:
        mend = "edit vm_memory_high_watermark.relative in rabbitmq.conf: 0.4; mqd --check"
    limit = f"the limit of memory is {size(found.limit_bytes)}"
    if found.limit_bytes == 0:
        yield Finding(ERROR, limit, "all publishers are blocked, always", mend)
    elif found.limit_bytes > found.machine_bytes * MEMORY_SHARE_MAX:
        yield Finding(
            WARNING if found.limit_bytes <= found.machine_bytes else ERROR,
            f"{limit}, of {size(found.machine_bytes)} that there are for this node",
            "the system ends the process before publishers are blocked",
            mend,
        )
    if found.total_bytes > found.machine_bytes:
        yield Finding(
            ERROR,
            f"total_memory_available_override_value says {size(found.total_bytes)}; there are "
            f"{size(found.machine_bytes)}",
            "limits that are a share of it come too late",
            f"edit rabbitmq.conf: remove that line; mqd --check && {restart(facts)}",
        )
    if found.limit_bytes and found.used_bytes > found.limit_bytes:
        yield Finding(
            ERROR,
            f"{size(found.used_bytes)} of memory are in use, and {limit}",
            "publishers are blocked until it is less",
            f"mqctl -n {quote(facts.node)} list_queues -q -p / name messages memory; "
            f"mq-diagnostics -n {quote(facts.node)} memory_breakdown",
        )


def memory_says(facts: Any, seen: Seen) -> str:
    found = facts.memory
    if not found.total_bytes:
        return ""
    used = f"{size(found.used_bytes)} in use, " if found.used_bytes else ""
    return f"{used}the limit is {size(found.limit_bytes)} of {size(found.machine_bytes)}"


def swap(facts: Any, seen: Seen) -> Iterator[Finding]:
    """A broker that is swapped out answers late."""
    found = facts.memory
    if found.swapped_bytes > SWAPPED_BYTES:
        yield Finding(
            WARNING,
            f"{size(found.swapped_bytes)} of the node's memory are swapped out",
            "what is needed from there comes at the speed of the disc",
            "sysctl vm.swappiness=1 && swapoff -a && swapon -a",
        )


def swap_says(facts: Any, seen: Seen) -> str:
    found = facts.memory
    if not found.swap_total_bytes:
        return "there is none" if found.total_bytes else ""
    return (
        f"{size(found.swap_used_bytes)} of {size(found.swap_total_bytes)} in use, none by the node"
    )


CHECKS = (
    Check("names", names, names_say),
    Check("clock", clock, clock_says),
    Check("memory", memory, memory_says),
    Check("swap", swap, swap_says),
    Check("open_files", open_files, open_files_say),
)
