"""The order is made on another node: a ram node's view, and a disc node's beside an authority.

Decides how a proposal gets there and back: it is sent to the node that entries come from, and sent
again as long as nothing came of it, for whoever orders knows an id it has had. Nobody to send it
to: it is refused at once, and nothing was changed. Who had it is gone: after PROPOSAL_TIMEOUT_S it
is said that nobody knows.

A refusal counts only when everything is applied that it may rest on: who is told that a name is
taken must find who took it.
"""

from __future__ import annotations

from collections.abc import Callable

from mqd.cluster.ledger import wire
from mqd.cluster.ledger.intake import Intake
from mqd.cluster.ledger.members import listed
from mqd.cluster.ledger.timers import Cancel, Later
from mqd.cluster.ports import Mesh
from mqd.errors import ErrorCode, MqdError
from mqd.limits import PROPOSAL_RESEND_S, PROPOSAL_TIMEOUT_S
from mqd.metadata.order import Orderer
from mqd.metadata.store import MetadataStore

_TRIES = int(2 * PROPOSAL_TIMEOUT_S / PROPOSAL_RESEND_S)  # whom it was sent to gives up first


class Follower(Orderer):
    """For `MetadataStore.use_orderer`. sources: of `intake`, for what an error says."""

    def __init__(
        self, mesh: Mesh, store: MetadataStore, later: Later, intake: Intake, kind: str
    ) -> None:
        self._mesh = mesh
        self._store = store
        self._later = later
        self._intake = intake
        self._kind = kind
        self._tries: dict[str, int] = {}  # how often each was sent
        self._refusals: list[wire.Refusal] = []  # that rest on what is not applied yet
        self._cancel_resend: Cancel | None = None
        self._stop: Callable[[], None] = lambda: None

    def start(self) -> None:
        self._stop = self._mesh.take(wire.REFUSE, self._refused)
        self._intake.on_progress = self._progress
        self._intake.follow(self._source_changed)
        if self._intake.source is None and self._store.waiting:
            self._arm()

    def close(self) -> None:
        self._stop()
        self._intake.stop()
        self._intake.on_progress = lambda: None
        if self._cancel_resend is not None:
            self._cancel_resend()

    def propose(self, proposal: str, line: str) -> None:
        source = self._intake.source
        if source is None:
            self._store.fail(proposal, self._nobody())
            return
        self._tries[proposal] = 1
        self._mesh.send(source, wire.PROPOSE, line.encode())
        self._arm()

    def _nobody(self) -> MqdError:
        return MqdError(ErrorCode.UNAVAILABLE, f"{self._who()}: nothing was changed")

    def _who(self) -> str:
        names = self._intake.names()
        if not names:
            return "the change must be kept by a disc node, and none is known"
        if self._kind == "ram":
            return f"the change must be kept by a disc node, but {listed(names)}"
        return f"the change must be ordered by another node, but {listed(names)}"

    def _source_changed(self, source: str | None) -> None:
        # what they rest on may never have been permanent there: whoever orders now says it anew
        self._refusals.clear()
        if source is not None:
            self._send_all(source)
        elif self._store.waiting:
            self._arm()

    def _send_all(self, source: str) -> None:
        lines = list(self._store.waiting.values())
        if lines:
            self._mesh.send(source, wire.PROPOSE, "\n".join(lines).encode())
            self._arm()

    def _arm(self) -> None:
        if self._cancel_resend is None:
            self._cancel_resend = self._later(PROPOSAL_RESEND_S, self._resend)

    def _resend(self) -> None:
        self._cancel_resend = None
        waiting = self._store.waiting
        self._tries = {each: self._tries.get(each, 0) + 1 for each in waiting}
        late = _TRIES if self._intake.source is not None else _TRIES // 2
        for proposal, tries in list(self._tries.items()):  # who is told may ask again at once
            if tries > late:
                self._store.fail(proposal, self._unknown())
        if self._intake.source is not None:
            self._send_all(self._intake.source)
        elif self._store.waiting:
            self._arm()

    def _unknown(self) -> MqdError:
        source = self._intake.source
        who = f"{source} does not tell" if source is not None else self._who()
        return MqdError(
            ErrorCode.TIMEOUT,
            f"{who}: it is not known whether the change was made; look before it is asked for "
            "again",
        )

    def _refused(self, node: str, payload: bytes) -> None:
        if node == self._intake.source:
            self._refusals.append(wire.unpack_refusal(payload))
            self._progress()

    def _progress(self) -> None:
        last = self._store.last_number
        refusals, self._refusals = self._refusals, []
        for each in refusals:
            if each.number > last:
                self._refusals.append(each)
            else:
                self._store.fail(each.proposal, each.error)
