"""What comes before a member's app may start: asking the others, and waiting for them.

Decides how often they are asked, how long they are waited for and what is said meanwhile, to the
log and to the service manager. Whom to wait for is decided by `mqd.cluster.membership.start`.
Never opens the metadata for writing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mqd.admin import membership_words as words
from mqd.clock import Clock
from mqd.cluster.membership.record import RAM, Record, host_of
from mqd.cluster.membership.start import (
    STARTING,
    Apart,
    Force,
    Refuse,
    Rejoin,
    Serve,
    Take,
    Verdict,
    Wait,
    can_force,
    decide,
)
from mqd.config.settings import ClusterSettings
from mqd.daemon.membership import Membership
from mqd.daemon.peers import member_of, seen
from mqd.daemon.systemd import Notifier
from mqd.errors import MqdError
from mqd.limits import PEER_LOOK_S
from mqd.metadata.commands import ClusterRecord
from mqd.rpc.v1 import membership_pb2 as pb

_RAN_LATER_MS = 30_000  # the times of two members may be off by so much
_EXTEND_S = 60  # as told to systemd, again and again while others are waited for

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admitted:
    """How the app starts. authority and via: as in `start.Serve`; cluster: as via knows it, else
    as this node does; forced: as the authority of a new generation."""

    authority: str
    cluster: ClusterRecord
    via: str | None = None
    forced: bool = False


class Admission:
    """Of one start. is_forced: whether force_boot was asked for by now. nudge: set when there may
    be a reason to look again at once. wipe() removes the metadata."""

    def __init__(
        self,
        membership: Membership,
        settings: ClusterSettings,
        notifier: Notifier,
        clock: Clock,
        is_forced: Callable[[], bool],
        nudge: asyncio.Event,
        wipe: Callable[[], Awaitable[None]],
        waits: Callable[[bool], None],
    ) -> None:
        self._membership = membership
        self._settings = settings
        self._notifier = notifier
        self._clock = clock
        self._is_forced = is_forced
        self._nudge = nudge
        self._wipe = wipe
        self._waits = waits
        self._hindrance = ""
        self._is_void = False  # force_boot: there was no metadata to go on with

    async def admitted(self) -> Admitted:
        """Returns when the app may start. Raises MqdError when it may not, in RabbitMQ's words for
        start_app."""
        await self._membership.catch_up()
        try:
            return await self._look_until_admitted()
        finally:
            self._membership.waits_for = ()
            await self._membership.at_rest.left()

    async def _look_until_admitted(self) -> Admitted:
        settings = self._settings
        left = max(settings.retry_limit, 1)
        until_ms = self._clock.monotonic_ms() + settings.retry_timeout_ms
        begun: Wait | None = None
        while True:
            verdict, answers = await self._verdict()
            if isinstance(verdict, Take):
                verdict = await self._take_over(verdict)
            outcome = await self._act(verdict, answers)
            if outcome is not None:
                return outcome
            if not isinstance(verdict, Wait):
                continue  # joined again, or knows more: what follows from that
            if begun != verdict:
                self._tell(verdict, answers, left)
                begun = verdict
            if self._clock.monotonic_ms() >= until_ms:
                left -= 1
                self._give_up_or_go_on(verdict, left)
                until_ms = self._clock.monotonic_ms() + settings.retry_timeout_ms
            await self._pause()

    async def _verdict(self) -> tuple[Verdict, Mapping[str, pb.MemberFacts]]:
        record = self._record
        others = [member for name, member in record.members.items() if name != record.node]
        answers = await self._membership.peers.ask_all(others)
        await self._membership.tell_where(answers)
        record = self._record  # one of them may have told where it is reached
        found = {name: seen(facts) for name, facts in answers.items()}
        forced = self._is_forced() and not self._is_void
        if forced and not can_force(record):
            self._is_void, forced = True, False
            _log.warning("%s", words.nothing_to_go_on_with(record.node, record.others))
        return decide(record, found, forced), answers

    @property
    def _record(self) -> Record:
        assert self._membership.record is not None
        return self._membership.record

    async def _act(
        self, verdict: Verdict, answers: Mapping[str, pb.MemberFacts]
    ) -> Admitted | None:
        self._waits(isinstance(verdict, Wait))
        match verdict:
            case Serve(authority, via, fresh, known):
                self._take_addresses(answers)
                if fresh:
                    _log.warning(
                        "what this node's metadata has and %s does not is dropped: the cluster "
                        "went on without it", via,
                    )  # fmt: skip
                    await self._wipe()
                cluster = seen(answers[via]).cluster if via is not None else known
                return Admitted(authority, cluster or self._record.cluster, via)
            case Force(left):
                self._tell_of_force(answers, left)
                return Admitted(self._record.node, self._record.cluster, forced=True)
            case Rejoin(via):
                await self._membership.rejoin(via, self._wipe)
            case Refuse(by) if self._is_known_there(answers[by]):
                await self._membership.tell_new_name(by, self._wipe)
            case Refuse(by):
                self._membership.forgotten = by
                raise words.start_failed(words.disagreement(self._record.node, by))
            case Apart(nodes, between):
                raise self._kept_apart(nodes, between)
            case Wait(nodes):
                self._membership.waits_for = nodes
            case Take():  # it was done
                pass
        return None

    async def _take_over(self, take: Take) -> Verdict:
        """What has to be waited for when it fails."""
        try:
            await self._membership.take_over(take.of)
        except MqdError as error:
            if self._hindrance != error.detail:
                self._hindrance = error.detail
                _log.warning("later changes are not had from %s: %s", take.of, error.detail)
            return Wait((take.of,))
        return take

    def _kept_apart(self, nodes: tuple[str, ...], between: bool) -> MqdError:
        """Until somebody says which part goes on."""
        record = self._record
        if between:
            reason = words.between(record.node, nodes)
        else:
            reason = words.apart(record.node, nodes)
            self._membership.remember(replace(record, yields_to=nodes))
        self._membership.apart = nodes
        return words.start_failed(reason)

    def _is_known_there(self, facts: pb.MemberFacts) -> bool:
        """By the name that this node had."""
        record = self._record
        return facts.cluster_id == record.cluster.id and any(
            each.name == record.former and each.incarnation == record.incarnation
            for each in facts.members
        )

    def _take_addresses(self, answers: Mapping[str, pb.MemberFacts]) -> None:
        """Whoever answers knows its own ports best."""
        record = self._record
        members = dict(record.members)
        for name, facts in answers.items():
            for entry in facts.members:
                if entry.name == name and name in members and entry.link_port:
                    found = members[name]
                    if found.incarnation == entry.incarnation:
                        members[name] = member_of(entry)
        if members != dict(record.members):
            self._membership.note(replace(record, members=members))

    # -- waiting ------------------------------------------------------------------------------

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nudge.wait(), PEER_LOOK_S)
        self._nudge.clear()

    def _tell(self, wait: Wait, answers: Mapping[str, pb.MemberFacts], left: int) -> None:
        _log.info(
            "Waiting for Mnesia tables for %d ms, %d retries left",
            self._settings.retry_timeout_ms, left - 1,
        )  # fmt: skip
        _log.warning("%s", self._explain(wait, answers))
        self._notifier.status(f"Waiting for {words.listed(wait.nodes)}", _EXTEND_S)

    def _explain(self, wait: Wait, answers: Mapping[str, pb.MemberFacts]) -> str:
        named = words.listed(wait.nodes)
        if self._record.kind == RAM:
            return f"this ram node waits for a disc node to start from: {named}"
        if wait.enough:
            some = f"{wait.enough} of {named}" if wait.enough < len(wait.nodes) else named
            text = f"waiting for {some}: a majority of the disc nodes must be up"
        else:
            text = f"waiting for {named}, which stopped last and may know of later changes"
        up = [name for name in wait.nodes if name in answers and answers[name].state != STARTING]
        hint = f"; start_app on {words.listed(up)}" if up else "; start it"
        sought = "".join(self._sought(name) for name in wait.nodes if name not in answers)
        return f"{text}{hint}, or, if it is lost for good, force_boot on this node{sought}"

    def _sought(self, name: str) -> str:
        """Where one that does not answer is looked for: it may be up elsewhere."""
        places = self._membership.peers.places(self._record.members.get(name))
        shown = [f"{host or host_of(name)}:{port}" for host, port in places]
        return f"; {name} is looked for at {words.listed(shown)}"

    def _give_up_or_go_on(self, wait: Wait, left: int) -> None:
        _log.warning(
            "Error while waiting for Mnesia tables: %s",
            words.erlang_tables([self._record.node, *wait.nodes]),
        )
        if left > 0:
            _log.info(
                "Waiting for Mnesia tables for %d ms, %d retries left",
                self._settings.retry_timeout_ms, left - 1,
            )  # fmt: skip
            self._notifier.status(f"Waiting for {words.listed(wait.nodes)}", _EXTEND_S)
            return
        self._membership.unmet = (
            f"{words.listed(wait.nodes)} did not come: start them, or, if they are lost for good, "
            "mqctl force_boot on this node, and start it again"
        )
        _log.error("%s", self._membership.unmet)
        raise self._failure(wait)

    def _failure(self, wait: Wait) -> MqdError:
        record = self._record
        if record.kind == RAM:
            return words.start_failed(words.no_disc_node(record.disc))
        return words.start_failed(words.no_tables(list(record.members)))

    def _tell_of_force(self, answers: Mapping[str, pb.MemberFacts], left: Sequence[str]) -> None:
        """Which member knows more than this one, as far as that can be found out."""
        record = self._record
        if left:
            _log.warning(
                "%s left the cluster without a word: this node goes on alone; "
                "forget_cluster_node strikes out who shall not join again", words.listed(left),
            )  # fmt: skip
            return
        _log.warning("This node starts without waiting for the others, as force_boot asked")
        self._tell_of_copies(answers)
        mine = (record.cluster.generation, record.number)
        newer = {
            name: facts
            for name, facts in answers.items()
            if facts.on_disc and (facts.generation, facts.number) > mine
        }
        for name, facts in newer.items():
            _log.warning(
                "%s has newer metadata, to change %d; this node has it to change %d: what is "
                "newer there is given up", name, facts.number, record.number,
            )  # fmt: skip
        silent = [name for name in record.disc if name not in answers and name != record.node]
        if silent:
            _log.warning(
                "%s cannot be asked: changes and messages that nobody else has are given up",
                words.listed(silent),
            )  # fmt: skip

    def _tell_of_copies(self, answers: Mapping[str, pb.MemberFacts]) -> None:
        """What is in quorum queues here, as far as it is known to be less than all."""
        before = self._membership.copies
        if before is None and len(self._record.disc) > 1:
            _log.warning("it is not known whether this node's copies of quorum queues are whole")
        later = [
            name
            for name, facts in sorted(answers.items())
            if before is not None and facts.ran_ms > before.at_ms + _RAN_LATER_MS
        ]
        if later:
            _log.warning(
                "%s ran when this node did not: messages that came to quorum queues then are "
                "given up", words.listed(later),
            )  # fmt: skip
        if before is None or not before.lacks:
            return
        _log.warning(
            "this node's copies of quorum queues were not whole when it ran last (%s): messages "
            "that only others have there are given up", ", ".join(before.lacks),
        )  # fmt: skip
        whole = [
            name for name, facts in sorted(answers.items()) if facts.on_disc and not facts.lacks
        ]
        if whole:
            _log.warning("%s may have all of them", words.listed(whole))
