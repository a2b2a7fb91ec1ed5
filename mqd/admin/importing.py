"""A file of definitions comes in: planned against what is there, then applied as one.

Decides when the plan is made (in steps, so that clients are served meanwhile, and again when
something changed under it) and in which order it is applied: what is durable as one command, then
what ends with the node. Never decides what a file means: `mqd.definitions` does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from mqd.auth.passwords import hash_password
from mqd.broker.broker import Broker
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.definitions.export import Topology
from mqd.definitions.parse import Unreadable, parse
from mqd.definitions.plan import Plan, Planner, Tools
from mqd.definitions.terms import NoTerm, decode
from mqd.definitions.words import of_no_term, of_unreadable
from mqd.metadata import bridge
from mqd.metadata.commands import Batch, Command, PutQueue
from mqd.metadata.store import MetadataStore

Json = Any

ERLANG = "erlang"
_TRIES = 3  # in steps; what changes all the time is planned for at one go

_log = logging.getLogger(__name__)


def read(content: bytes, shape: str, source: str, *, located: bool) -> Json:
    """The document in a file. shape: "json" or "erlang". Raises MqdError."""
    try:
        return decode(content) if shape == ERLANG else parse(content)
    except NoTerm as problem:
        raise of_no_term(str(problem), source, located=located) from problem
    except Unreadable as problem:
        raise of_unreadable(problem, source, located=located) from problem


def topology_of(broker: Broker) -> Topology:
    """Everything that is declared."""
    vhosts = list(broker.vhosts.values())
    return Topology(
        [exchange.definition for vhost in vhosts for exchange in vhost.exchanges.values()],
        [queue.definition for vhost in vhosts for queue in vhost.queues.values()],
        [binding for vhost in vhosts for binding in vhost.bindings],
    )


class Import:
    """One document on its way in. `plan` is there once `steps` is through."""

    def __init__(self, document: Json, metadata: MetadataStore, broker: Broker) -> None:
        self.plan = Plan()
        self._document = document
        self._metadata = metadata
        self._broker = broker
        self._changed = False

    async def steps(self) -> AsyncIterator[int]:
        """Yields how many objects are checked, now and then. Everything is permanent when it
        ends. Raises Refused; nothing was applied then."""
        tries = 0
        while True:
            planner = self._planner()
            before = self._versions()
            self._changed = False
            unsubscribe = self._metadata.subscribe(self._hear)
            try:
                for done in planner.steps():
                    if tries < _TRIES:
                        yield done
                        await asyncio.sleep(0)
            finally:
                unsubscribe()
            if not self._changed and self._versions() == before:
                break
            tries += 1
        await self._apply(planner.plan)

    def _hear(self, _command: Command) -> None:
        self._changed = True

    def _versions(self) -> dict[str, int]:
        """Moves with every exchange, queue and binding, transient ones too."""
        return {name: vhost.version for name, vhost in self._broker.vhosts.items()}

    def _planner(self) -> Planner:
        broker = self._broker
        tools = Tools(
            broker.exchange_types,
            self._metadata.new_queue_id,
            broker.transient_id,
            hash_password,
        )
        return Planner(self._document, self._metadata.state, Live(broker), tools)

    async def _apply(self, plan: Plan) -> None:
        """All in one turn of the loop, where this node orders it; then wait for the disc."""
        self.plan = plan
        permanent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(error: Exception | None) -> None:
            if error is not None:
                permanent.set_exception(error)
            else:
                permanent.set_result(None)

        at_once = self._metadata.orders_here
        if plan.commands:
            self._metadata.propose(Batch(tuple(map(self._placed, plan.commands))), done)
        else:
            done(None)
        if not at_once:  # what is transient needs the vhosts and exchanges of the rest
            await asyncio.shield(permanent)
        if not (permanent.done() and permanent.exception()):
            for command in plan.transient:
                bridge.apply_to(self._broker, command)
        self._broker.turn.end()
        await asyncio.shield(permanent)
        for each in plan.left_out:
            _log.warning("Skipping import of a %s", each)
        _log.info(
            "Imported definitions: %d objects are new or changed",
            len(plan.commands) + len(plan.transient),
        )

    def _placed(self, command: Command) -> Command:
        """Queues of a cluster have a home. Those of a virtual host that is new are placed without
        its policies, which are new as well."""
        if not isinstance(command, PutQueue) or command.queue.node:
            return command
        broker, queue = self._broker, command.queue
        vhost = broker.vhosts.get(queue.vhost) or next(iter(broker.vhosts.values()), None)
        placed = broker.homes.place(vhost, queue) if vhost is not None else None
        if not isinstance(placed, QueueDefinition):
            placed = replace(queue, node=broker.node)
        return replace(command, queue=placed)


class Live:
    """What a running broker has: `mqd.definitions.plan: Present`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def exchange(self, vhost: str, name: str) -> ExchangeDefinition | None:
        found = self._broker.vhosts.get(vhost)
        exchange = found.exchanges.get(name) if found is not None else None
        return exchange.definition if exchange is not None else None

    def queue(self, vhost: str, name: str) -> QueueDefinition | None:
        found = self._broker.vhosts.get(vhost)
        queue = found.queues.get(name) if found is not None else None
        return queue.definition if queue is not None else None

    def is_bound(self, binding: BindingDefinition) -> bool:
        found = self._broker.vhosts.get(binding.vhost)
        return found is not None and binding in found.bindings

    def queue_count(self, vhost: str) -> int:
        found = self._broker.vhosts.get(vhost)
        return len(found.queues) if found is not None else 0

    def has_exchange_of(self, type_name: str) -> bool:
        return self._broker.knows_exchange_type(type_name)
