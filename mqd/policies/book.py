"""The policies of one virtual host, and which of them a queue or an exchange has.

Decides what matches and what wins: of the policies whose pattern is found in the name, whose
apply-to names the kind, and whose every setting the type of queue knows, the one with the highest
priority; among equals (RabbitMQ: undefined) the one whose name comes first. The same for operator
policies, of which one applies beside the policy. Never tells a queue: whoever keeps the book does.

source: RabbitMQ's "Policies" guide; observed: 3.10.8.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from mqd.policies.applied import Applied
from mqd.policies.merging import merge
from mqd.policies.model import APPLY_TO, OPERATOR_POLICY, POLICY, Kind, Policy

Search = Callable[[str, str], bool]  # (pattern, name): whether it is found in it

Pair = tuple[str | None, str | None]


class Book:
    """Policies and operator policies by name. search: how a pattern is looked for in a name."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._policies: dict[str, dict[str, Policy]] = {POLICY: {}, OPERATOR_POLICY: {}}
        self._ordered: dict[str, tuple[Policy, ...]] = {POLICY: (), OPERATOR_POLICY: ()}
        self._applied: dict[Pair, Applied | None] = {}  # one for all that have the same two

    def put(self, component: str, policy: Policy) -> None:
        """component: POLICY or OPERATOR_POLICY. One of that name is replaced."""
        self._policies[component][policy.name] = policy
        self._changed(component)

    def remove(self, component: str, name: str) -> None:
        """Nothing happens when there is none."""
        if self._policies[component].pop(name, None) is not None:
            self._changed(component)

    def _changed(self, component: str) -> None:
        self._ordered[component] = in_order(self._policies[component].values())
        self._applied.clear()

    def applied(
        self, kind: Kind, name: str, refused: Collection[str] = (), queue_type: str = ""
    ) -> Applied | None:
        """What a queue or exchange has. refused: settings that its type does not know."""
        user = next(self.matching(POLICY, kind, name, refused, queue_type), None)
        operator = next(self.matching(OPERATOR_POLICY, kind, name, refused, queue_type), None)
        pair = (
            user.name if user is not None else None,
            operator.name if operator is not None else None,
        )
        found = self._applied.get(pair, _UNKNOWN)
        if found is _UNKNOWN:
            found = self._applied[pair] = merge(user, operator)
        return found

    def matching(
        self,
        component: str,
        kind: Kind,
        name: str,
        refused: Collection[str] = (),
        queue_type: str = "",
    ) -> Iterator[Policy]:
        """Those that fit; the first one wins."""
        kinds = {kind, f"{queue_type} queue"}
        for policy in self._ordered[component]:
            if (
                not kinds.isdisjoint(APPLY_TO[policy.apply_to])
                and self._search(policy.pattern, name)
                and not (refused and any(key in refused for key in policy.definition))
            ):
                yield policy


_UNKNOWN: Final = Applied()


def in_order(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """The one that wins first."""
    return tuple(sorted(policies, key=lambda policy: (-policy.priority, policy.name)))
