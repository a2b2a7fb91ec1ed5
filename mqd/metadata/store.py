"""Where commands are proposed, made permanent, and heard of.

Decides the order on a node by itself: a command is checked and applied to the state and to the
listeners at once, then written with all others that were proposed while the last write ran, then
`done` is called. In a cluster the order may be made elsewhere (`use_orderer`): a proposal comes
back as a numbered entry (`take`), is applied like everybody's, and then `done` is called. What is
allowed is the machine's business, how it is written the scribe's, who orders that of
`mqd.cluster.ledger`.

Theory of the ordered mode. Every node applies the same entries under the same numbers, so it
also refuses the same ones; a refused entry is logged as one that changes nothing, so that numbers
stay consecutive. A proposal waits under its id until an entry with it was taken, or a snapshot
tells what became of it, or it is given up (`fail`); it may be sent as often as needed. `barrier`,
when there is one, holds `done` back until the other members have applied the entry too.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.ports import Done
from mqd.errors import ErrorCode, MqdError
from mqd.limits import CLOSE_TIMEOUT_S, SNAPSHOT_INLINE_MAX
from mqd.metadata.commands import (
    Command,
    DeleteBinding,
    DeleteExchange,
    DeleteQueue,
    PutBinding,
    PutExchange,
    PutQueue,
    decode_line,
    encode,
    encode_outcome,
)
from mqd.metadata.difference import difference, replay
from mqd.metadata.log import CommandLog, Proposed, Replacement
from mqd.metadata.machine import State, apply, commands_of
from mqd.metadata.order import Orderer, Outcome, Proposals
from mqd.metadata.scribe import Scribe
from mqd.storage.database import delete_database
from mqd.storage.writer import Writer

log = logging.getLogger(__name__)

Listener = Callable[[Command], None]
_COUNT_BITS = 32  # a queue id is the number of the member, that of the boot, and a count
_BOOT_BITS = 16  # of a member; a node that never met another one has them all
_BOOTS_MASK = (1 << _BOOT_BITS) - 1
_NOTHING = encode_outcome("", None)


class _Waiting(NamedTuple):
    line: str
    done: Done
    ours: bool  # not another node's, which this one passes on


class MetadataStore:
    """Durable state of a node, and the `Topology` port. Lives on the loop's thread.

    on_trouble(text) is called when a write fails, on_trouble(None) when all is written again.
    barrier(number, call): calls when all who must have applied that entry. on_applied(number) and
    on_settled(entries): of all entries, once applied here, and once they are as permanent as
    whoever orders them makes them. on_written(): this node's disc is further. on_replaced(): a
    snapshot came instead of entries. ours: whether what listeners hear now was proposed on this
    node.
    """

    def __init__(
        self, command_log: CommandLog | None, writer: Writer, owns_writer: bool, boots: int = 1
    ) -> None:
        self.state = State()
        self.ours = True
        self.proposals = Proposals()
        self.member_number = 0
        self.barrier: Callable[[int, Callable[[], None]], None] | None = None
        self.on_applied: Callable[[int], None] | None = None
        self.on_settled: Callable[[Sequence[Proposed]], None] | None = None
        self.on_written: Callable[[], None] | None = None
        self.on_replaced: Callable[[], None] | None = None
        self._log = command_log
        self._writer = writer
        self._owns_writer = owns_writer
        self._scribe = Scribe(command_log, writer, self._for_fold)
        self._scribe.on_written = self._written
        self._listeners: list[Listener] = []
        self._boots = command_log.boots if command_log is not None else boots
        self._counts = itertools.count(1)
        self._has_ids = False  # one was given since it was opened
        self._last = command_log.last_number if command_log is not None else 0
        self._orderer: Orderer | None = None
        self._held = False
        self._waiting: dict[str, _Waiting] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], writer: Writer | None = None) -> MetadataStore:
        """Open or create, and read everything back. With the storage engine's writer, the order
        between metadata and messages is kept.

        Raises MqdError when the file cannot be used.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        command_log = CommandLog(Path(path))
        store = cls(command_log, writer or Writer(), writer is None)
        try:
            for number, (command, proposal, refusal, _) in command_log.read():
                if refusal is None:
                    replay(store.state, command)
                if proposal:
                    store.proposals.remember(proposal, number, refusal)
        except MqdError:
            command_log.close()
            if writer is None:
                store._writer.stop()
            raise
        return store

    @classmethod
    def in_memory(cls, writer: Writer, boots: int) -> MetadataStore:
        """Of a ram node: it starts empty, and nothing is ever written. boots: another number at
        each start, kept by whoever keeps the list of members; 16 bits of it count."""
        return cls(None, writer, False, boots)

    @staticmethod
    def wipe(path: str | os.PathLike[str]) -> None:
        """Forget everything of a store that is not open: the next one starts virgin."""
        delete_database(Path(path))

    @property
    def on_trouble(self) -> Callable[[str | None], None]:
        return self._scribe.on_trouble

    @on_trouble.setter
    def on_trouble(self, tell: Callable[[str | None], None]) -> None:
        self._scribe.on_trouble = tell

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear every change from now on, after the state has it. Returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # proposing

    @property
    def orders_here(self) -> bool:
        """A proposal is applied, or refused, before `propose` returns."""
        return self._orderer is None and not self._held

    def propose(self, command: Command, done: Done) -> None:
        """Apply the command; `done(None)` once it is permanent, `done(MqdError)` when it is
        refused, which may be before this returns."""
        if self._scribe.closed:
            done(MqdError(ErrorCode.UNAVAILABLE, "the metadata store is closed"))
        elif self._orderer is None and not self._held:
            line = encode(command)  # first: what cannot be logged must not be applied
            self._order(command, line, "", done, ours=True)
        else:
            proposal = self.proposals.new_id(self._last)
            self._await(proposal, encode(command, proposal), done, ours=True)

    def propose_line(self, proposal: str, line: str, done: Done, *, ours: bool = False) -> None:
        """`propose` what another node encoded. Without effect, and without `done`, for what was
        ordered before or is on its way."""
        if self._scribe.closed or proposal in self._waiting or self.proposals.outcome(proposal):
            return
        if not self.orders_here:
            self._await(proposal, line, done, ours)
            return
        try:
            self.proposals.check(proposal, self._last + 1)
            command = decode_line(line).command
        except MqdError as error:
            done(error)
            return
        self._order(command, line, proposal, done, ours=ours)

    def _order(
        self, command: Command, line: str, proposal: str, done: Done, *, ours: bool = False
    ) -> None:
        """Here and now."""
        try:
            if (known := self.proposals.refusal(proposal)) is not None:
                raise known
            heard = apply(self.state, command)
        except MqdError as error:
            if proposal:
                self.proposals.refuse(proposal, error)
            if self.barrier is None:
                done(error)
            else:  # it tells of what refused it, which has to be everywhere first
                outcome = functools.partial(done, error)
                self._scribe.put(None, functools.partial(self._pass_barrier, self._last, outcome))
            return
        self._last += 1
        if proposal:
            self.proposals.remember(proposal, self._last, None)
        if self.barrier is not None:
            answer = functools.partial(done, None)
            done = functools.partial(self._pass_barrier, self._last, answer)
        self._scribe.put(Proposed(self._last, line), done)
        self._tell(heard, ours)

    def _tell(self, heard: Sequence[Command], ours: bool) -> None:
        before, self.ours = self.ours, ours
        for each in heard:
            for listener in tuple(self._listeners):
                listener(each)
        self.ours = before
        if self.on_applied is not None:
            self.on_applied(self._last)

    def _pass_barrier(
        self, number: int, answer: Callable[[], None], _error: Exception | None = None
    ) -> None:
        if self.barrier is None:
            answer()
        else:
            self.barrier(number, answer)

    async def propose_async(self, command: Command) -> None:
        """`propose` for coroutines: returns once permanent, raises MqdError when refused."""
        future: asyncio.Future[None] = self._writer.loop.create_future()

        def done(error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(None)

        self.propose(command, done)
        await future

    def may_commit(self) -> bool:
        """For the storage engine, on the writer thread: whether nothing here is overdue."""
        return self._scribe.may_commit()

    # ordered elsewhere

    @property
    def waiting(self) -> Mapping[str, str]:
        """Lines of the proposals that neither came back nor were given up, by id, oldest first."""
        return {proposal: each.line for proposal, each in self._waiting.items()}

    def waits_for(self, proposal: str) -> bool:
        """Whether it is one of them."""
        return proposal in self._waiting

    def _await(self, proposal: str, line: str, done: Done, ours: bool) -> None:
        self._waiting[proposal] = _Waiting(line, done, ours)
        if self._orderer is not None and not self._held:
            self._orderer.propose(proposal, line)

    async def hold(self) -> int:
        """Nothing more is proposed or ordered until `use_orderer`: proposals wait. Returns the last
        number, once all up to it is on disc."""
        self._held = True
        await self._scribe.flush()
        return self._last

    def use_orderer(self, orderer: Orderer | None) -> None:
        """From now on it makes the order; None: this node does. What waits is proposed again."""
        if self._orderer is not None:
            self._orderer.close()
        self._orderer = orderer
        self._held = False
        if orderer is not None:
            orderer.start()
            return
        waiting, self._waiting = self._waiting, {}
        for proposal, each in waiting.items():
            self.propose_line(proposal, each.line, each.done, ours=each.ours)

    def take(self, number: int, line: str) -> bool:
        """An entry that was ordered and is permanent: applied, unless it was before. False: there
        are others before it. Raises MqdError for what this mqd does not know."""
        if number != self._last + 1:
            return number <= self._last
        command, proposal, refusal, _ = decode_line(line)
        heard: tuple[Command, ...] = ()
        known = self.proposals.outcome(proposal) is not None
        if refusal is None:
            try:
                if proposal:
                    self.proposals.check(proposal, number)
                heard = apply(self.state, command)
            except MqdError as error:
                refusal = error
                line = _NOTHING if known else encode_outcome(proposal, error)
        self._last = number
        self._scribe.put(Proposed(number, line), _nobody)
        if proposal and not known:
            self.proposals.remember(proposal, number, refusal)
        waiting = self._waiting.get(proposal)
        self._tell(heard, waiting is not None and waiting.ours)
        self._settle(proposal, number, refusal)
        if self.on_settled is not None:
            self.on_settled([Proposed(number, line)])
        return True

    def _settle(self, proposal: str, number: int, refusal: MqdError | None) -> None:
        waiting = self._waiting.pop(proposal, None)
        if waiting is not None:
            self._pass_barrier(number, functools.partial(waiting.done, refusal))

    def fail(self, proposal: str, error: MqdError) -> None:
        """Nobody waits for it any more. When it is ordered all the same, it is applied."""
        waiting = self._waiting.pop(proposal, None)
        if waiting is not None:
            waiting.done(error)

    def _written(self, lines: Sequence[Proposed]) -> None:
        if self.on_settled is not None and self._orderer is None:
            self.on_settled(lines)
        if self.on_written is not None:
            self.on_written()

    # whole states

    def snapshot(self) -> tuple[int, list[str]]:
        """The number of the last entry, and what makes the state as it is after it."""
        return self._last, [*map(encode, commands_of(self.state)), *self.proposals.lines()]

    def _for_fold(self) -> tuple[int, Callable[[], bytes]]:
        state, known = self.state.copy(), list(self.proposals.lines())
        return self._last, lambda: "\n".join([*map(encode, commands_of(state)), *known]).encode()

    def with_snapshot(self, call: Callable[[int, bytes], None]) -> None:
        """call(number, `snapshot`'s lines joined): later when there is much, made on a thread of
        its own."""
        number, encoded = self._for_fold()
        if self.state.size < SNAPSHOT_INLINE_MAX:
            call(number, encoded())
            return
        future = self._writer.loop.run_in_executor(None, encoded)
        future.add_done_callback(lambda done: call(number, done.result()))

    def load_snapshot(self, number: int, lines: Sequence[str]) -> None:
        """Be where another node was: state, file and numbers. Listeners hear what sets the new
        state apart from the old. Raises MqdError for what this mqd does not know."""
        new, known = State(), Proposals()
        for line in lines:
            command, proposal, refusal, at = decode_line(line)
            if proposal:
                known.remember(proposal, at, refusal)
            else:
                apply(new, command)
        self._last = number
        self.proposals.replace(known)
        self._scribe.put(Replacement(number, "\n".join(lines).encode()), _nobody)
        for command in difference(self.state, new):
            self._tell(apply(self.state, command), ours=False)
        for proposal in list(self._waiting):
            outcome = known.outcome(proposal)
            if outcome is not None:
                self._settle(proposal, *outcome)
        if self.on_replaced is not None:
            self.on_replaced()
        if self.on_applied is not None:
            self.on_applied(number)

    def tail(
        self,
        after: int,
        bytes_max: int,
        call: Callable[[Sequence[Proposed] | None], None],
    ) -> None:
        """call(what follows that number, on disc), later; None: the log does not go back so far,
        or cannot be read."""
        if self._log is None:
            self._writer.loop.call_soon(call, None)
            return
        read = functools.partial(self._log.tail, after, bytes_max)
        self._writer.submit(read, lambda found, _error: call(found))

    # the Topology port

    @property
    def last_number(self) -> int:
        """Of the entries that are applied here."""
        return self._last

    @property
    def written_number(self) -> int:
        """Of the entries that are on this node's disc."""
        return self._scribe.written_number

    def outcome(self, proposal: str) -> Outcome | None:
        """What became of a proposal that was ordered not long ago."""
        return self.proposals.outcome(proposal)

    def new_queue_id(self) -> int:
        if self.member_number and not self._has_ids:
            self._pass_known_ids()
        self._has_ids = True
        boots = self._boots
        if self.member_number:
            boots = self.member_number << _BOOT_BITS | boots & _BOOTS_MASK
        return (boots << _COUNT_BITS) + next(self._counts)

    def _pass_known_ids(self) -> None:
        """A file that was restored, or made anew, counts from a boot that was before: what this
        member gave then is not given again."""
        ids = [queue.id >> _COUNT_BITS for queue in self.state.queues.values()]
        mine = [boots & _BOOTS_MASK for boots in ids if boots >> _BOOT_BITS == self.member_number]
        last = max(mine, default=0)
        if last >= self._boots & _BOOTS_MASK:
            self._boots = last + 1

    def put_exchange(self, definition: ExchangeDefinition, done: Done) -> None:
        self.propose(PutExchange(definition), done)

    def delete_exchange(
        self, vhost: str, name: str, done: Done, *, if_unused: bool = False
    ) -> None:
        self.propose(DeleteExchange(vhost, name, if_unused), done)

    def put_queue(self, definition: QueueDefinition, done: Done) -> None:
        self.propose(PutQueue(definition), done)

    def delete_queue(self, definition: QueueDefinition, done: Done) -> None:
        self.propose(DeleteQueue(definition.vhost, definition.name, definition.id), done)

    def put_binding(self, definition: BindingDefinition, done: Done) -> None:
        self.propose(PutBinding(definition), done)

    def delete_binding(self, definition: BindingDefinition, done: Done) -> None:
        self.propose(DeleteBinding(definition), done)

    # the end

    async def flush(self) -> None:
        """Wait until everything applied is permanent."""
        await self._scribe.flush()

    async def reset(self) -> None:
        """Forget everything: state, log and snapshot. Listeners hear nothing of it."""
        await self.flush()
        self.state.clear()
        self.proposals.replace(Proposals())
        written: asyncio.Future[None] = self._writer.loop.create_future()
        self._scribe.put(Replacement(self._last, b""), lambda _error: written.set_result(None))
        await written

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Write what is left and close the file; returns whether all was written."""
        if self._scribe.closed:
            return True
        if self._orderer is not None:
            self._orderer.close()
        clean = await self._scribe.close(timeout_s)
        for proposal in list(self._waiting):
            self.fail(proposal, MqdError(ErrorCode.UNAVAILABLE, "the node stops"))
        if self._owns_writer:
            self._writer.stop()
        return clean


def _nobody(_error: Exception | None) -> None:
    """Waits for an entry that is permanent elsewhere."""
