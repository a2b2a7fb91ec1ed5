"""What it takes to have commands ordered elsewhere.

Decides the port to whoever orders them (`mqd.cluster.ledger` implements it), and which proposals
are known already, so that one that is sent twice is not a second command. Never decides an order.

Theory. A proposal has an id, `<origin>.<count>.<base>`; base is the number of the last entry that
its proposer knew. Whoever applies entries remembers the ids of the last PROPOSALS_REMEMBERED, and
an entry whose id is among them has no effect. One whose base is further back than that is refused:
it could have been applied and forgotten. Both depend on the entries before it alone, so all nodes
judge alike; the ids are part of every snapshot for the same reason.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from mqd.errors import ErrorCode, MqdError
from mqd.limits import PROPOSALS_REMEMBERED, REFUSALS_REMEMBERED
from mqd.metadata.commands import encode_outcome


class Orderer(Protocol):
    """Orders commands elsewhere. What it has ordered it gives to `MetadataStore.take`, entry by
    entry, the proposals of this node among them; what will not be ordered to `MetadataStore.fail`.
    """

    def start(self) -> None:
        """Whatever the store waits for (`MetadataStore.waiting`) is proposed again."""

    def propose(self, proposal: str, line: str) -> None:
        """Never answers before it returns."""

    def close(self) -> None:
        """Nothing is given to the store any more."""


class Outcome(NamedTuple):
    """refusal None: it was applied."""

    number: int
    refusal: MqdError | None


class Proposals:
    """Ids for proposals, and those that were ordered."""

    def __init__(self, origin: str = "") -> None:
        self._origin = origin or secrets.token_hex(6)
        self._counts = itertools.count(1)
        self._outcomes: dict[str, Outcome] = {}  # in the order of their numbers
        self._refusals: dict[str, MqdError] = {}  # that have no number

    def new_id(self, last_number: int) -> str:
        return f"{self._origin}.{next(self._counts)}.{last_number}"

    def outcome(self, proposal: str) -> Outcome | None:
        """None: it was not ordered, or long ago."""
        return self._outcomes.get(proposal)

    def check(self, proposal: str, number: int) -> None:
        """Before entry `number` is applied. Raises MqdError when it must not be."""
        if proposal in self._outcomes:
            raise MqdError(ErrorCode.ALREADY_EXISTS, "the proposal was ordered before")
        base = proposal.rpartition(".")[2]
        if base.isdecimal() and number - int(base) > PROPOSALS_REMEMBERED:
            raise MqdError(
                ErrorCode.TIMEOUT,
                "it is not known any more what became of the change: look, and ask for it again",
            )

    def remember(self, proposal: str, number: int, refusal: MqdError | None) -> None:
        """Of entry `number`; what is too far back is forgotten."""
        outcomes = self._outcomes
        outcomes[proposal] = Outcome(number, refusal)
        while True:
            oldest = next(iter(outcomes))
            if outcomes[oldest].number >= number - PROPOSALS_REMEMBERED:
                return
            del outcomes[oldest]

    def refuse(self, proposal: str, refusal: MqdError) -> None:
        """It was, by the one node that orders, and is no entry. When it comes again, because the
        answer was late, it must not be judged anew."""
        refusals = self._refusals
        refusals[proposal] = refusal
        while len(refusals) > REFUSALS_REMEMBERED:
            del refusals[next(iter(refusals))]

    def refusal(self, proposal: str) -> MqdError | None:
        """None: it was not refused, or long ago."""
        return self._refusals.get(proposal)

    def lines(self) -> Iterator[str]:
        """For a snapshot."""
        for proposal, (number, refusal) in list(self._outcomes.items()):
            yield encode_outcome(proposal, refusal, number)

    def replace(self, other: Proposals) -> None:
        """Remember what another one does, and no more; ids go on as they were."""
        self._outcomes = dict(other._outcomes)
