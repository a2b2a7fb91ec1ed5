"""What tools do to the files of a member that is down.

    python -m mqd.daemon.offline forget FOLDER NODE TARGET
    python -m mqd.daemon.offline rename FOLDER NODE OLD NEW [OLD NEW ...]

Decides what becomes of a node's metadata and of what it remembers of its cluster when it is told
that another member is lost, or that members go by other names now; members are asked whether they
run, with the cookie of the environment. Prints nothing when all went
well; else one line for the tool, and exit 1. Never touches a folder that a node has.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from mqd.admin import membership_words as words
from mqd.admin.elixir import atom
from mqd.cluster.membership import file
from mqd.cluster.membership.record import DISC, FILE_NAME, Record, host_of, renamed
from mqd.cluster.membership.start import RUNNING
from mqd.daemon.emptying import finish
from mqd.daemon.locks import DataLock
from mqd.daemon.paths import METADATA_FILE
from mqd.daemon.peers import PORT_DEFAULT, Peers
from mqd.daemon.roll import new_fork, on_renamed
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import (
    Batch,
    Command,
    DeleteMember,
    DeleteQueue,
    PutCluster,
    PutMember,
    PutQueue,
)
from mqd.metadata.generations import begun
from mqd.metadata.machine import State
from mqd.metadata.store import MetadataStore

COOKIE: Final = "RABBITMQ_ERLANG_COOKIE"
Change = Callable[[State], Iterator[Command]]

_RENAMED: Final = (FILE_NAME, METADATA_FILE, METADATA_FILE + "-wal", METADATA_FILE + "-shm")
BEFORE_RENAME: Final = "before_rename"  # what a start under the old name goes back to
COMPLETE: Final = "complete"  # in it: all that was there has been copied


async def forget(data: Path, node: str, target: str) -> None:
    """Strike a lost member out, in a new generation. When it ordered the changes, this node does
    from now on: what only the lost one knew is given up. Raises MqdError."""
    record = _record(data, node)
    if target == node:
        raise words.last_replica(target)
    if record is None or target not in record.members:
        raise words.not_a_member()
    if record.kind != DISC or await _any_runs(record, node):
        raise words.from_offline_node()
    await _change(data, record, lambda state: _without(state, node, target))


async def rename(data: Path, node: str, names: Mapping[str, str]) -> None:
    """Know members by other names. A start under the old name undoes it. Once it was tried, also
    in vain, there must be a start before it is tried again (observed: 3.10.8). Raises MqdError."""
    if (data / BEFORE_RENAME).exists():
        raise _rename_failed("{:rename_in_progress, 'Restart node under old name to roll back'}")
    (data / BEFORE_RENAME).mkdir(mode=0o700)
    record = _record(data, node)
    _check(set(record.members) if record is not None else {node}, names)
    _keep_copy(data)
    if record is not None:
        after = renamed(record, names)
        if (data / METADATA_FILE).exists():
            await _change(data, record, lambda state: _with_names(state, names))
        file.write(data, after)
    (data / BEFORE_RENAME / "to").write_text(names.get(node, node))


def _check(known: Collection[str], names: Mapping[str, str]) -> None:
    """No name may be a member's already, not even one that is given up by the same rename."""
    new = list(names.values())
    unknown = [name for name in names if name not in known]
    taken = [name for name in new if name in known]
    if len(set(new)) < len(new):
        raise _rename_failed(f"{{:duplicate_node, {_listed(new)}}}")
    if taken:
        raise _rename_failed(f"{{:nodes_already_in_cluster, {_listed(taken)}}}")
    if unknown:
        raise _rename_failed(f"{{:nodes_not_in_cluster, {_listed(unknown)}}}")


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(map(atom, names))}]"


async def _any_runs(record: Record, node: str) -> bool:
    """Whoever runs can forget the lost one, and knows more than these files."""
    cookie = os.environ.get(COOKIE, "")
    others = [member for name, member in record.members.items() if name != node]
    answers = await Peers(cookie, PORT_DEFAULT).ask_all(others)
    return any(
        facts.state == RUNNING and facts.cluster_id == record.cluster.id
        for facts in answers.values()
    )


def _rename_failed(reason: str) -> MqdError:
    return MqdError(ErrorCode.UNAVAILABLE, f"{{:rename_failed, {reason}}}")


def _record(data: Path, node: str) -> Record | None:
    record = file.read(data)
    if record is None or not record.cluster.id:
        return None
    if record.node != node:
        text = f"{data} holds the data of {record.node}, not of {node}"
        raise MqdError(ErrorCode.PRECONDITION_FAILED, text)
    return record


async def _change(data: Path, record: Record, make: Change) -> None:
    store = MetadataStore.open(data / METADATA_FILE)
    try:
        await store.propose_async(Batch(tuple(make(store.state))))
    finally:
        await store.close()
    file.write(data, record.follow(store.state.cluster, store.state.members, store.last_number))


def _without(state: State, node: str, target: str) -> Iterator[Command]:
    for queue in state.queues.values():
        if queue.node == target and queue.shard is None:
            yield DeleteQueue(queue.vhost, queue.name)
    fork, cluster = new_fork(), state.cluster
    yield DeleteMember(target, fork)
    if cluster is None or cluster.authority == node:
        return
    yield PutCluster(replace(begun(cluster, fork), authority=node))
    for member in state.members.values():
        if member.name not in (node, target) and member.kind == DISC:
            yield PutMember(replace(member, incarnation=""))


def _with_names(state: State, names: Mapping[str, str]) -> Iterator[Command]:
    """The same commands on every node that is given the same names."""
    cluster = state.cluster
    assert cluster is not None
    number = cluster.numbers
    for old in sorted(names):
        member = state.members.get(old)
        if member is None:
            continue
        number += 1
        yield DeleteMember(old)
        new = names[old]
        yield PutMember(replace(member, name=new, number=number, host=host_of(new)))
    for queue in on_renamed(state.queues.values(), names):
        yield PutQueue(queue)
    if cluster.authority in names:
        after = replace(cluster, authority=names[cluster.authority], numbers=number)
        yield PutCluster(after)


def settle_rename(data: Path, node: str) -> None:
    """Before a start as `node`: under its new name a node takes over the folder that has the old
    one; under the old name the rename is undone."""
    if not data.exists():
        for beside in data.parent.glob(f"*/{BEFORE_RENAME}/to"):
            if beside.read_text() == node:
                beside.parents[1].rename(data)
                break
    before = data / BEFORE_RENAME
    if not before.exists():
        return
    to = before / "to"
    renamed_to = to.read_text() if to.exists() else ""
    if (before / COMPLETE).exists() and renamed_to != node:
        for name in _RENAMED:
            (data / name).unlink(missing_ok=True)
            if (before / name).exists():
                shutil.copy2(before / name, data / name)
    shutil.rmtree(before)


def _keep_copy(data: Path) -> None:
    before = data / BEFORE_RENAME
    for name in _RENAMED:
        if (data / name).exists():
            shutil.copy2(data / name, before / name)
    (before / COMPLETE).touch()


def _give_to_owner(data: Path) -> None:
    """root may work for the user that the node runs as."""
    owner = data.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in [data / name for name in os.listdir(data)]:
            with contextlib.suppress(OSError):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _run(arguments: Sequence[str]) -> None:
    what, folder, node, *rest = arguments
    data = Path(folder)
    if not data.is_dir():
        raise MqdError(ErrorCode.NOT_FOUND, f"there is no data of {node} in {data}")
    lock = DataLock(data)
    try:
        finish(data)
        if what == "forget":
            asyncio.run(forget(data, node, rest[0]))
        else:
            names = dict(zip(rest[::2], rest[1::2], strict=True))
            asyncio.run(rename(data, node, names))
    finally:
        lock.release()
        _give_to_owner(data)


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    try:
        _run(arguments)
    except MqdError as error:
        sys.stdout.write(error.detail + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
