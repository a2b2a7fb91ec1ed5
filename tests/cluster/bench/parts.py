"""What is measured on three nodes, part by part.

Decides the measurements; each returns figures by name. Nodes are of either broker, and the code is
the same for both. Never prints.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.bench.client import Client, Publisher
from tests.cluster.trio import PROJECT, Member, Trio, why_no_cells
from tests.nodes import answers_amqp_at

Figures = dict[str, float]
_LOAD_S = 6.0
_DECLARE_S = 3.0
_QUEUES, _BINDINGS = 1000, 10_000
_IDLE_S = 10.0
_PATIENCE_S = 120.0


def _address(member: Member) -> tuple[str, int]:
    return member.address, member.port


def _load(what: str, member: Member, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.cluster.bench.client", what, member.address]
    return subprocess.Popen(
        [*command, str(member.port), *map(str, words)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _rate(process: subprocess.Popen[str]) -> float:
    printed, _ = process.communicate(timeout=_PATIENCE_S)
    figures = json.loads(printed)
    return float(figures["count"] / figures["seconds"])


# -- declaring: nodes are disc, disc, ram -----------------------------------------------------


def declares(trio: Trio) -> Figures:
    """One client, one declare after the other."""
    _, disc, ram = trio.members
    found: Figures = {}
    for kind, member in (("disc", disc), ("ram", ram)):
        client = Client(_address(member))
        count, began = 0, time.monotonic()
        while (passed := time.monotonic() - began) < _DECLARE_S:
            client.declare(f"d{kind}{count}", durable=True)
            count += 1
        found[f"durable declares/s, {kind} node"] = count / passed
        for number in range(count):
            client.call("queue.delete", queue=f"d{kind}{number}")
        count, began = 0, time.monotonic()
        while (passed := time.monotonic() - began) < _DECLARE_S:
            client.declare("e", exclusive=True)
            client.call("queue.delete", queue="e")
            count += 1
        found[f"exclusive declare+delete/s, {kind} node"] = count / passed
        client.close()
    return found


# -- messages ---------------------------------------------------------------------------------


def quorum(trio: Trio) -> Figures:
    """1 KiB, a publisher on every node with 200 in flight; then one with 1 in flight."""
    first = Client(_address(trio.members[0]))
    first.declare("qq", "quorum", durable=True)
    loads = [_load("publish", member, "qq", 1024, 200, _LOAD_S) for member in trio]
    total = sum(_rate(load) for load in loads)
    first.call("queue.purge", queue="qq")
    single = _rate(_load("publish", trio.members[1], "qq", 1024, 1, _LOAD_S / 2))
    first.call("queue.delete", queue="qq")
    first.close()
    return {"quorum confirms/s, 3 x 200 in flight": total, "quorum confirms/s, 1 in flight": single}


def remote(trio: Trio) -> Figures:
    """1 KiB persistent, confirmed: published on A, queue on B, consumed on C."""
    a, b, c = trio.members
    home = Client(_address(b))
    home.declare("far", durable=True)
    consumer = _load("consume", c, "far", _LOAD_S + 1)
    publisher = _load("publish", a, "far", 1024, 500, _LOAD_S)
    confirmed, delivered = _rate(publisher), _rate(consumer) * (_LOAD_S + 1) / _LOAD_S
    home.call("queue.delete", queue="far")
    home.close()
    return {"remote classic: confirms/s": confirmed, "remote classic: deliveries/s": delivered}


# -- faults -----------------------------------------------------------------------------------


def leader_of(trio: Trio, queue: str) -> Member:
    said = trio.members[0].ctl("-q", "list_queues", "name", "leader", "--formatter", "json")
    leader = next(row["leader"] for row in json.loads(said) if row["name"] == queue)
    return next(member for member in trio if member.name == leader)


def failover(trio: Trio) -> Figures:
    """kill -9 of the leader's node; the next confirm of a publisher on another node."""
    owner = Client(_address(trio.members[0]))
    owner.declare("ff", "quorum", durable=True)
    owner.close()
    gaps = []
    for _ in range(3):
        leader = leader_of(trio, "ff")
        other = next(member for member in trio if member is not leader)
        client = Client(_address(other))
        publisher = Publisher(client, "ff", 100, 1)
        for _ in range(20):
            publisher.step()
        leader.kill()
        killed = time.monotonic()
        # Of two confirms the first may have been on its way.
        for _ in range(2):
            publisher.step()
        gaps.append(time.monotonic() - killed)
        client.close()
        leader.start()
        trio.await_whole()
    return {"fail-over of a quorum queue, s": sorted(gaps)[1]}


def cut_off(target: str) -> Figures:
    """See `cut`. In a cluster of its own, whose nodes have networks."""
    if why := why_no_cells():
        print(f"no cut: {why}", file=sys.stderr)
        return {}
    command = [sys.executable, "-m", "tests.cluster.bench.cut", target]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    return {
        "silent fail-over until a confirm, s": found["confirm"],
        "silent fail-over until a delivery, s": found["delivery"],
    }


def full_restart(trio: Trio) -> Figures:
    """All stopped in order, all started at once, until a quorum queue confirms and a queue can be
    declared."""
    for member in reversed(trio.members):
        member.stop()
    began = time.monotonic()
    for member in trio:
        member.launch()
    for member in trio:
        member.await_up()
    answered = time.monotonic() - began
    _until(lambda: _works(trio))
    return {
        "full restart until clients are answered, s": answered,
        "full restart until quorum queues and declares work, s": time.monotonic() - began,
    }


def _works(trio: Trio) -> bool:
    for member in trio:
        client = Client(_address(member), timeout_s=30)
        client.declare("r", durable=True)
        publisher = Publisher(client, "ff", 100, 1)
        publisher.step()
        client.close()
        if not publisher.confirmed or publisher.nacked:
            return False
    return True


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            if true():
                return
        except Exception:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


# -- size -------------------------------------------------------------------------------------


def _pss_mb(member: Member) -> float:
    total = 0
    for pid in member.pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def _cpu_s(member: Member) -> float:
    ticks = 0
    for pid in member.pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def memory(trio: Trio) -> Figures:
    """Of a node and all its processes, on average."""
    return {"memory of a node, MB": sum(map(_pss_mb, trio.members)) / 3}


def many(trio: Trio) -> Figures:
    """1,000 quorum queues and 10,000 bindings."""
    clients = [Client(_address(member)) for member in trio]
    began = time.monotonic()
    clients[0].call("exchange.declare", exchange="hub", type="direct", durable=True)
    for number in range(_QUEUES):
        clients[number % 3].declare(f"m{number}", "quorum", durable=True)
    declared = time.monotonic() - began
    began = time.monotonic()
    for number in range(_BINDINGS):
        queue = f"m{number % _QUEUES}"
        clients[number % 3].call(
            "queue.bind", queue=queue, exchange="hub", routing_key=f"k{number}"
        )
    bound = time.monotonic() - began
    for client in clients:
        client.close()
    before = {member.name: _cpu_s(member) for member in trio}
    time.sleep(_IDLE_S)
    idle = max((_cpu_s(member) - before[member.name]) / _IDLE_S for member in trio)
    size = sum(map(_pss_mb, trio.members)) / 3
    return {
        "quorum queues declared/s": _QUEUES / declared,
        "bindings/s": _BINDINGS / bound,
        "1,000 quorum queues: idle CPU of a node, %": 100 * idle,
        "1,000 quorum queues: memory of a node, MB": size,
        "1,000 quorum queues: restart of a node, s": _restart(trio),
    }


def _restart(trio: Trio) -> float:
    """In order; until clients are answered and all count it as running."""
    member = trio.members[2]
    member.stop()
    began = time.monotonic()
    member.launch()
    while not answers_amqp_at(member.address, member.port):
        time.sleep(0.02)
    trio.await_whole()
    return time.monotonic() - began


PARTS: dict[str, Callable[[Trio], Figures]] = {
    "quorum": quorum,
    "remote": remote,
    "memory": memory,
    "failover": failover,
    "restart": full_restart,
    "many": many,
}
