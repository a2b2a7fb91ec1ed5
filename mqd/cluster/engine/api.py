"""JetStream's requests and answers as values.

Decides subjects, bodies and what answers mean; never sends anything. Error numbers are those of
nats-server 2.15's errors.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nats.aio.msg import Msg

from mqd.cluster.engine.connection import NoResponder
from mqd.cluster.engine.settings import node_of, peer_id
from mqd.cluster.ports import Entry, LogInfo, NoMajority, Stale

Json = dict[str, Any]  # what json.loads makes of an answer

TOLD: Final = "told."  # in front of the subject of an entry that is told
UNIQUE: Final = "Nats-Msg-Id"
AFTER: Final = "Nats-Expected-Last-Sequence"
BATCH: Final = "Nats-Batch-Id"
BATCH_SEQUENCE: Final = "Nats-Batch-Sequence"
BATCH_COMMIT: Final = "Nats-Batch-Commit"
REPLICAS_MAX: Final = 5  # JetStream's own bound

META_RESCUE: Final = "$JS.API.META.RESCUE"
NAMES: Final = "$JS.API.STREAM.NAMES"
SERVER_REMOVE: Final = "$JS.API.SERVER.REMOVE"
LEADER_ELECTED: Final = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.*"
QUORUM_LOST: Final = "$JS.EVENT.ADVISORY.STREAM.QUORUM_LOST.*"

_WRONG_LAST: Final = (10071, 10164)
_NO_STREAM: Final = 10059
_NO_MESSAGE: Final = (10037, 10043, 10057)
_NAME_IN_USE: Final = 10058
_NOT_MEMBER: Final = 10044
_DUPLICATES_NS: Final = 120_000_000_000  # how long a unique id is known


class NoLog(NoMajority):
    """The voters say that there is no such log."""

    def __init__(self, log: str) -> None:
        super().__init__(f"there is no log {log}")


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, error: Json) -> None:
        super().__init__(str(error.get("description", error)))
        self.code = int(error.get("code", 500))
        self.number = int(error.get("err_code", 0))

    @property
    def no_log(self) -> bool:
        return self.number == _NO_STREAM

    @property
    def no_entry(self) -> bool:
        return self.number in _NO_MESSAGE

    @property
    def exists(self) -> bool:
        return self.number == _NAME_IN_USE

    @property
    def not_member(self) -> bool:
        return self.number == _NOT_MEMBER

    @property
    def leader_known(self) -> bool:
        """Of a rescue: the group still thinks that it has one."""
        return "leader is known" in str(self)


def attends(server: str) -> str:
    """What the daemon beside a server answers to."""
    return f"attends.{peer_id(server)}"


def stream(verb: str, log: str) -> str:
    """The subject of a request about one log, such as "INFO" or "MSG.DELETE"."""
    return f"$JS.API.STREAM.{verb}.{log}"


def direct_get(log: str) -> str:
    return f"$JS.API.DIRECT.GET.{log}"


def server(identity: str, question: str) -> str:
    """A question to one server, such as "JSZ"."""
    return f"$SYS.REQ.SERVER.{identity}.{question}"


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def log_config(log: str, replicas: int, first_seq: int, tells: bool) -> Json:
    """Of a new log."""
    config: Json = {
        "name": log,
        "subjects": [f"{log}.*"],
        "storage": "file",
        "num_replicas": replicas,
        "duplicate_window": _DUPLICATES_NS,
        "allow_direct": True,
        "allow_atomic": True,
        "allow_rollup_hdrs": True,
    }
    if first_seq > 1:
        config["first_seq"] = first_seq
    if tells:
        config["republish"] = {"src": f"{log}.>", "dest": f"{TOLD}{log}.>"}
    return config


def answer(message: Msg) -> Json:
    """Raises Refused."""
    parsed: Json = json.loads(message.data)
    if "error" in parsed:
        raise Refused(parsed["error"])
    return parsed


def server_answer(message: Msg) -> Json:
    """What a server says of itself."""
    parsed: Json = json.loads(message.data)
    if "error" in parsed or "data" not in parsed:
        raise Refused(parsed.get("error", {}))
    data: Json = parsed["data"]
    return data


def appended(message: Msg) -> int:
    """The sequence of what was appended. Raises Stale, NoMajority."""
    parsed: Json = json.loads(message.data)
    error = parsed.get("error")
    if error is None:
        return int(parsed["seq"])
    if error.get("err_code") in _WRONG_LAST:
        raise Stale(error.get("description", "wrong last sequence"))
    if error.get("code") == 503:
        raise NoResponder(error.get("description", "unavailable"))
    raise NoMajority(error.get("description", "refused"))


def entry(message: Msg) -> Entry:
    """As read, or as told."""
    headers = message.headers or {}
    return Entry(int(headers["Nats-Sequence"]), headers["Nats-Subject"], message.data)


def is_end(message: Msg) -> bool:
    """Of a batch that is read: no entry, but its end."""
    return message.headers is not None and "Status" in message.headers


def log_info(found: Json) -> LogInfo:
    state, group = found["state"], found.get("cluster", {})
    leader = group.get("leader")
    current = [replica["name"] for replica in group.get("replicas", ()) if is_current(replica)]
    return LogInfo(
        first_seq=int(state["first_seq"]),
        last_seq=int(state["last_seq"]),
        leader=node_of(leader) if leader else None,
        replicas=int(found["config"]["num_replicas"]),
        current=tuple(node_of(name) for name in ([leader] if leader else []) + current),
        lags={
            node_of(replica["name"]): int(replica.get("lag", 0))
            for replica in group.get("replicas", ())
            if not is_current(replica) and not replica.get("pending")
        },
    )


def is_settled(found: Json, replicas: int) -> bool:
    """All copies are there and up to date, and no change is under way."""
    group = found.get("cluster", {})
    others: Sequence[Json] = group.get("replicas") or ()
    return (
        found["config"]["num_replicas"] == replicas
        and bool(group.get("leader"))
        and len(others) == replicas - 1
        and all(is_current(replica) for replica in others)
        and not group.get("desired")
    )


def is_grouped(found: Json) -> bool:
    """Whether a server that tells of its copy of a log can know who leads it. One that has just
    started, and not yet joined those that have the other copies, names itself."""
    return found["config"]["num_replicas"] == 1 or "raft_group" in (found.get("cluster") or {})


def is_current(replica: Json) -> bool:
    return bool(replica.get("current")) and not replica.get("offline")


def local_logs(jsz: Json) -> Mapping[str, Json]:
    """The logs of which the asked server has a copy, by name."""
    return {
        found["name"]: found
        for account in jsz.get("account_details") or ()
        for found in account.get("stream_detail") or ()
    }
