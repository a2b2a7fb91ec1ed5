"""Why a connection is blocked or slow.

Decides by the live connection and the alarms of its node; reads, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from shlex import quote

from mqd.admin.context import DiskSpace, MemoryUse
from mqd.admin.explaining import Answer, Reason, at, many
from mqd.broker.entries import ConnectionEntry


def find(entries: Iterable[ConnectionEntry], wanted: str) -> ConnectionEntry | None:
    """By pid, name, or the name that the client gave it. Of several the first."""
    every = list(entries)
    for read in (
        lambda e: e.pid,
        lambda e: e.name,
        lambda e: e.user_provided_name,
        lambda e: f"{e.peer_host}:{e.peer_port}",
    ):
        for entry in every:
            if read(entry) == wanted:
                return entry
    return None


def explain(
    entry: ConnectionEntry, alarms: Iterable[str], memory: MemoryUse, disk: DiskSpace
) -> Answer:
    """alarms: in effect on the node."""
    name = entry.user_provided_name or entry.name
    answer = Answer("connection", entry.pid, entry.vhost.name, "", "")
    causes = {one: _alarm(one, memory, disk) for one in sorted(alarms)}
    who = f"connection {name} of user '{entry.user.name}'"
    if entry.held:
        answer.outcome = "blocked"
        answer.says = f"{who} is blocked: it published while an alarm was on, and is not read"
        answer.reasons += causes.values()
        if not entry.can("connection.blocked"):
            answer.reasons.append(
                Reason(
                    "client_not_told",
                    "the client cannot be told (it has not the capability connection.blocked): to "
                    "it the broker looks slow or dead",
                )
            )
    elif entry.state == "blocking":
        answer.outcome = "blocking"
        answer.says = (
            f"{who} is not blocked yet: an alarm is on, and its next publish will block it"
        )
        answer.reasons += causes.values()
    elif entry.state != "running":
        answer.outcome, answer.says = entry.state, f"{who} is {entry.state}"
    elif entry.outlet.congested:
        answer.outcome = "congested"
        answer.says = f"{who} does not read what it is sent"
    elif entry.slowed:
        answer.outcome = "flow"
        answer.says = f"{who} is slowed: it publishes faster than the disc writes"
        answer.reasons.append(
            Reason("flow", "its messages are written, only later", "mqctl doctor")
        )
    else:
        answer.outcome, answer.says = "running", f"{who} is not blocked"
    answer.reasons += _beside(entry)
    return answer


def _alarm(name: str, memory: MemoryUse, disk: DiskSpace) -> Reason:
    known: Mapping[str, Reason] = {
        "memory": Reason(
            "memory_alarm",
            f"the node uses {memory.total_bytes} bytes of memory, and may use "
            f"{memory.limit_bytes}: publishers wait until it is less",
            "mq-diagnostics memory_breakdown; mqctl list_queues name messages memory; "
            "mqctl set_vm_memory_high_watermark 0.6",
        ),
        "disk": Reason(
            "disk_alarm",
            f"{disk.free_bytes} bytes are free on the disc, and {disk.limit_bytes} have to be: "
            "publishers wait until there are more",
            "mqctl doctor; mqctl set_disk_free_limit 50MB",
        ),
    }
    return known.get(name) or Reason("alarm", f"the alarm {name} is on", "mq-diagnostics alarms")


def _beside(entry: ConnectionEntry) -> Iterator[Reason]:
    """What it holds, and what waits for it."""
    pending = entry.peer.counts()[4]
    if entry.outlet.congested:
        yield Reason(
            "client_does_not_read",
            f"{many(pending, 'byte')} wait for it; its consumers are given nothing until it reads",
            f"mqctl close_connection {quote(entry.pid)} 'does not read'",
        )
    for channel in entry.channels.values():
        full = [c for c in channel.consumers.values() if c.limited and c.is_full()]
        queues = sorted({consumer.queue.name for consumer in full})
        if queues:
            shown = ", ".join(f"'{name}'" for name in queues[:5])
            yield Reason(
                "prefetch_exhausted",
                f"channel {channel.number} holds {many(len(channel.unacked), 'message')} that it "
                f"has not acknowledged; its consumers get no more from {shown}",
                f"mqctl explain queue {at(entry.vhost.name)} {quote(queues[0])}",
            )
        confirms = channel.confirms
        if confirms is not None and confirms.unconfirmed_count:
            yield Reason(
                "unconfirmed",
                f"channel {channel.number} waits for {many(confirms.unconfirmed_count, 'confirm')}",
                "mqctl doctor",
            )
