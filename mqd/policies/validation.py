"""What a policy may say, and what is wrong with one that says something else.

Decides which settings there are, what their values may be, and the words of every refusal, in
RabbitMQ's order (observed: 3.10.8: rabbit_policies, rabbit_mirror_queue_misc). One table, one row a
setting. What 3.10.8 crashes on (an age or an ha-mode that is no text) is refused in the same words
as its kin.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from mqd.policies import values
from mqd.policies.model import KINDS
from mqd.policies.terms import format_json, format_pairs

Json = Any
Check = Callable[[Json], bool]


def _natural(value: Json) -> bool:
    return type(value) is int and value >= 0


def _positive(value: Json) -> bool:
    return type(value) is int and value > 0


def _text(value: Json) -> bool:
    return isinstance(value, str)


def _one_of(*words: Json) -> Check:
    return lambda value: type(value) in (str, int) and value in words


def _age(value: Json) -> bool:
    return isinstance(value, str) and values.age_s(value) is not None


def _segment(value: Json) -> bool:
    return _natural(value) and value <= values.SEGMENT_BYTES_MAX


# setting -> (what its value has to be, what follows the value in the refusal)
_LOCATION: Final[Mapping[str, tuple[Check, str]]] = {
    "queue-master-locator": (
        _one_of(*values.MASTER_LOCATORS),
        "invalid queue-master-locator value",
    ),
}
_GENERAL: Final[Mapping[str, tuple[Check, str]]] = {
    "alternate-exchange": (_text, "is not a valid alternate exchange name"),
    "dead-letter-exchange": (_text, "is not a valid dead letter exchange name"),
    "dead-letter-routing-key": (_text, "is not a valid dead letter routing key"),
    "dead-letter-strategy": (
        _one_of(*values.DEAD_LETTER_STRATEGIES),
        "is not a valid dead letter strategy",
    ),
    "delivery-limit": (_natural, "is not a valid delivery limit"),
    "expires": (_positive, "is not a valid queue expiry"),
    "initial-cluster-size": (_natural, "is not a valid cluster size"),
    "max-age": (_age, "is not a valid max age"),
    "max-in-memory-bytes": (_natural, "is not a valid maximum memory in bytes"),
    "max-in-memory-length": (_natural, "is not a valid maximum memory in bytes"),
    "max-length": (_natural, "is not a valid maximum length"),
    "max-length-bytes": (_natural, "is not a valid maximum length in bytes"),
    "message-ttl": (_natural, "is not a valid message TTL"),
    "overflow": (
        _one_of(*values.OVERFLOWS),
        "is not a valid overflow value",
    ),
    "queue-leader-locator": (
        _one_of(*values.LEADER_LOCATORS),
        "is not a valid queue leader locator value",
    ),
    "queue-mode": (_one_of(*values.QUEUE_MODES), "is not a valid queue-mode value"),
    "queue-version": (_one_of(*values.QUEUE_VERSIONS), "is not a valid queue-version value"),
    "stream-max-segment-size-bytes": (_segment, "is not a valid segment size"),
}
_MIRRORING: Final = (
    "ha-mode",
    "ha-params",
    "ha-sync-mode",
    "ha-sync-batch-size",
    "ha-promote-on-shutdown",
    "ha-promote-on-failure",
)
SETTINGS: Final = frozenset((*_LOCATION, *_GENERAL, *_MIRRORING))
OPERATOR_SETTINGS: Final = frozenset(
    (
        "delivery-limit",
        "expires",
        "max-in-memory-bytes",
        "max-in-memory-length",
        "max-length",
        "max-length-bytes",
        "message-ttl",
    )
)


def faults(
    definition: Mapping[str, Json],
    apply_to: str,
    pattern_fault: str | None,
    *,
    operator: bool,
    kinds: Collection[str] = KINDS,
) -> list[str]:
    """Everything that is wrong with a policy, a line each; empty when nothing is.

    pattern_fault: what the pattern's compiler said, {"reason",offset}. kinds: what apply_to may be;
    definitions of later versions bring more (`model.APPLY_TO`) than 3.10.8's tools take.
    """
    found = []
    wrong = definition_fault(definition, OPERATOR_SETTINGS if operator else SETTINGS)
    if wrong is not None:
        found.append(wrong)
    if apply_to not in kinds:
        found.append(apply_to_fault(apply_to))
    if pattern_fault is not None:
        found.append(f"pattern should be regular expression but is invalid: {pattern_fault}")
    return found


def apply_to_fault(apply_to: str) -> str:
    """The refusal of one that nobody knows."""
    return f"apply-to '{apply_to}' unrecognised; should be 'queues', 'exchanges' or 'all'"


def definition_fault(definition: Mapping[str, Json], known: frozenset[str]) -> str | None:
    """The first thing that is wrong with a definition; what nobody knows comes last."""
    if not definition:
        return "no policy provided"
    settings = {key: definition[key] for key in sorted(definition) if key in known}
    for fault in _faults(settings):
        return fault
    unknown = [(key, definition[key]) for key in sorted(definition) if key not in known]
    return f"{format_pairs(unknown)} are not recognised policy settings" if unknown else None


def _faults(settings: Mapping[str, Json]) -> Iterator[str]:
    for table in (_LOCATION, _GENERAL):
        for key, value in settings.items():
            row = table.get(key)
            if row is not None and not row[0](value):
                yield f"{format_json(value)} {row[1]}"
    yield from _mirroring_faults(settings)


# -- mirroring: nothing is mirrored here, but what is refused is refused ---------------------------


def _mirroring_faults(settings: Mapping[str, Json]) -> Iterator[str]:
    given = {key: settings[key] for key in _MIRRORING if key in settings}
    if not given:
        return
    if "ha-mode" not in given:
        yield (
            "ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown"
        )
        return
    mode = given["ha-mode"]
    check = _PARAMS.get(mode) if isinstance(mode, str) else None
    if check is None:
        yield f"{format_json(mode)} is not a valid ha-mode value"
        return
    yield from check(given.get("ha-params", _NONE))
    batch = given.get("ha-sync-batch-size", 1)
    for key, words in _MIRROR_WORDS.items():
        if key in given and given[key] not in words:
            first, second = words
            yield f'{key} must be "{first}" or "{second}", got {format_json(given[key])}'
    if not _positive(batch):
        yield f"ha-sync-batch-size takes an integer greater than 0, {format_json(batch)} given"


_NONE: Final = object()
_MIRROR_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "ha-sync-mode": ("manual", "automatic"),
    "ha-promote-on-shutdown": ("always", "when-synced"),
    "ha-promote-on-failure": ("always", "when-synced"),
}


def _no_params(params: Json) -> Iterator[str]:
    if params is not _NONE:
        yield 'ha-mode="all" does not take parameters'


def _count_param(params: Json) -> Iterator[str]:
    if not _positive(params):
        yield f'ha-mode="exactly" takes an integer, {_given(params)} given'


def _node_params(params: Json) -> Iterator[str]:
    if not isinstance(params, list):
        yield f'ha-mode="nodes" takes a list, {_given(params)} given'
    elif not params:
        yield 'ha-mode="nodes" list must be non-empty'
    else:
        others = [one for one in params if not isinstance(one, str)]
        if others:
            shown = format_json(others)
            yield f'ha-mode="nodes" takes a list of strings, {shown} was not a string'


def _given(params: Json) -> str:
    return "none" if params is _NONE else format_json(params)


_PARAMS: Final[Mapping[str, Callable[[Json], Iterator[str]]]] = MappingProxyType(
    {"all": _no_params, "exactly": _count_param, "nodes": _node_params}
)
