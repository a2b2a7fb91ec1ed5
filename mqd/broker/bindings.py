"""The bindings of one vhost, found from either end.

Decides when two bindings are the same one (source, destination, key and arguments, whatever the
order of the arguments) and which exchanges are left without a binding. Never routes and never
makes anything permanent: exchanges index what is added here, in their own way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from mqd.amqp.fields import encode_table
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition

# (source, destination kind, destination, binding key, arguments encoded in order of their names)
BindingKey = tuple[str, str, str, str, bytes]


def key_of(binding: BindingDefinition) -> BindingKey:
    """What makes a binding itself within its vhost; hashable."""
    arguments = binding.arguments
    encoded = encode_table(dict(sorted(arguments.items()))) if arguments else b""
    return (
        binding.source,
        binding.destination_kind,
        binding.destination,
        binding.binding_key,
        encoded,
    )


def default_binding(vhost: str, queue: str) -> BindingDefinition:
    """The binding that listings show for every queue; the default exchange stores none."""
    return BindingDefinition(vhost, "", "queue", queue, queue)


class BindingTable:
    """Every binding of a vhost but the implicit ones of the default exchange."""

    __slots__ = ("_by_destination", "_by_source")

    def __init__(self) -> None:
        self._by_source: dict[str, dict[BindingKey, BindingDefinition]] = {}
        self._by_destination: dict[tuple[str, str], dict[BindingKey, BindingDefinition]] = {}

    def add(self, binding: BindingDefinition) -> bool:
        """Keep the binding; False when it was there already."""
        key = key_of(binding)
        outgoing = self._by_source.setdefault(binding.source, {})
        if key in outgoing:
            return False
        outgoing[key] = binding
        incoming = (binding.destination_kind, binding.destination)
        self._by_destination.setdefault(incoming, {})[key] = binding
        return True

    def remove(self, binding: BindingDefinition) -> bool:
        """Forget the binding; False when it was not there."""
        key = key_of(binding)
        outgoing = self._by_source.get(binding.source)
        if outgoing is None or key not in outgoing:
            return False
        self._drop(key, binding)
        return True

    def remove_source(self, exchange: str) -> list[BindingDefinition]:
        """Forget all that leave an exchange; returns them."""
        removed = self._by_source.get(exchange, {})
        return self._drop_all(removed)

    def remove_destination(self, kind: str, name: str) -> list[BindingDefinition]:
        """Forget all that lead to a queue or exchange; returns them."""
        removed = self._by_destination.get((kind, name), {})
        return self._drop_all(removed)

    def of_source(self, exchange: str) -> list[BindingDefinition]:
        """All that leave an exchange, oldest first."""
        return list(self._by_source.get(exchange, {}).values())

    def of_destination(self, kind: str, name: str) -> list[BindingDefinition]:
        """All that lead to a queue or exchange, oldest first."""
        return list(self._by_destination.get((kind, name), {}).values())

    def has_source(self, exchange: str) -> bool:
        """Whether any binding leaves the exchange: it is in use (exchange.delete if-unused)."""
        return exchange in self._by_source

    def count_of_source(self, exchange: str) -> int:
        return len(self._by_source.get(exchange, ()))

    def __contains__(self, binding: BindingDefinition) -> bool:
        return key_of(binding) in self._by_source.get(binding.source, ())

    def __iter__(self) -> Iterator[BindingDefinition]:
        for outgoing in self._by_source.values():
            yield from outgoing.values()

    def __len__(self) -> int:
        return sum(map(len, self._by_source.values()))

    def _drop_all(self, bindings: dict[BindingKey, BindingDefinition]) -> list[BindingDefinition]:
        removed = list(bindings.items())
        for key, binding in removed:
            self._drop(key, binding)
        return [binding for _, binding in removed]

    def _drop(self, key: BindingKey, binding: BindingDefinition) -> None:
        outgoing = self._by_source[binding.source]
        del outgoing[key]
        if not outgoing:
            del self._by_source[binding.source]
        end = (binding.destination_kind, binding.destination)
        incoming = self._by_destination[end]
        del incoming[key]
        if not incoming:
            del self._by_destination[end]


class _Declared(Protocol):
    """Anything with a definition: a live exchange."""

    @property
    def definition(self) -> ExchangeDefinition: ...


def auto_deleted(
    table: BindingTable, exchanges: Mapping[str, _Declared], removed: Iterable[BindingDefinition]
) -> list[str]:
    """The auto-delete exchanges that go because these bindings went, in the order they go.

    An exchange goes with the last binding that leaves it. The bindings that lead to it go with
    it, which may cost others their last one, and so on. `removed` are gone from `table` already;
    nothing is changed here.
    """
    going: dict[str, None] = {}
    gone: set[BindingKey] = set()
    suspects = [binding.source for binding in removed]
    while suspects:
        name = suspects.pop(0)
        exchange = exchanges.get(name)
        if exchange is None or name in going or not exchange.definition.auto_delete:
            continue
        if any(key_of(binding) not in gone for binding in table.of_source(name)):
            continue
        going[name] = None
        for binding in table.of_destination("exchange", name):
            gone.add(key_of(binding))
            suspects.append(binding.source)
    return list(going)
