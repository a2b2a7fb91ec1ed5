"""Programs: sequences of AMQP operations, drawn by Hypothesis.

Decides which operations there are and how often each comes. A program declares queues, exchanges
and bindings, then does things to them on two connections. Features widen what is drawn: each adds
queue arguments, properties, exchanges, steps, or keys that policies may have. Time must not decide:
times to live are 0 or ten minutes. Nor must chance: messages go to a stream one at a time, since
those that RabbitMQ gets together may share a chunk, or not.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from hypothesis import strategies as st

from tests.differential import words
from tests.differential.words import Lines, integers, longstrs, steps
from tests.protocol import wire

_LATER = 600_000  # ms: never, as far as a program is concerned
_DLX_TARGETS = longstrs("", "x0", "x1", "x2", "missing")
_MODES = st.sampled_from((None, None, 1, 2))


@dataclass(frozen=True)
class Feature:
    """What one feature adds. weight: how many of a program's steps are its own, about."""

    arguments: dict[str, list[wire.Field]] = field(default_factory=dict)
    properties: dict[str, list[Any]] = field(default_factory=dict)
    headers: dict[str, list[wire.Field]] = field(default_factory=dict)
    consumer: dict[str, list[wire.Field]] = field(default_factory=dict)
    exchange: dict[str, list[wire.Field]] = field(default_factory=dict)
    policy: dict[str, list[Any]] = field(default_factory=dict)  # JSON
    queue_type: str = ""  # whose arguments are for queues of that type only
    first: tuple[Lines, ...] = ()  # steps that every program begins with
    steps: tuple[Lines, ...] = ()
    weight: int = 0
    singly: bool = False  # no step publishes several messages


def _strings(*values: str) -> wire.Field:
    return "A", [("S", value) for value in values]


_TIMES = integers(0, _LATER)
_CHOSEN = st.sampled_from(("$0", "$0", "$1", "$2"))
_OFFSETS: list[wire.Field] = [
    *longstrs("first", "first", "last", "next", "1h"),
    *integers(0, 1, 2, 50),
    ("l", 1),
    ("T", 1_000_000),
    ("T", 99_999_999_999),
]


def _credit(places: Any) -> Lines:
    return steps("basic.qos", at=places, prefetch_count=st.sampled_from((1, 2, 3, 10)))


FEATURES: dict[str, Feature] = {
    "classic": Feature(),
    "lazy": Feature(
        arguments={
            "x-queue-mode": longstrs("lazy", "default"),
            "x-queue-version": integers(1, 2),
            "x-queue-type": longstrs("classic"),
        },
        policy={"queue-mode": ["lazy", "default"], "queue-version": [1, 2]},
    ),
    "length": Feature(
        arguments={
            "x-max-length": integers(0, 1, 2, 3),
            "x-max-length-bytes": integers(0, 4, 30),
            "x-overflow": longstrs("drop-head", "reject-publish", "reject-publish-dlx"),
        },
        policy={
            "max-length": [0, 1, 2, 3],
            "max-length-bytes": [0, 4, 30],
            "overflow": ["drop-head", "reject-publish", "reject-publish-dlx"],
        },
    ),
    "dlx": Feature(
        arguments={
            "x-dead-letter-exchange": _DLX_TARGETS,
            "x-dead-letter-routing-key": longstrs(*words.QUEUES, "k0", "k.a"),
        },
        policy={
            "dead-letter-exchange": ["", "x0", "x1", "x2", "missing"],
            "dead-letter-routing-key": [*words.QUEUES, "k0", "k.a"],
        },
    ),
    "death": Feature(  # a client that sends what only the broker should
        headers={
            "x-death": [
                ("S", "no table"),
                ("A", [("F", {"queue": ("S", "q0"), "reason": ("S", "rejected")})]),
                (
                    "A",
                    [
                        (
                            "F",
                            {
                                "count": ("l", 3),
                                "reason": ("S", "expired"),
                                "queue": ("S", "q1"),
                                "time": ("T", 1_000_000_000),
                                "exchange": ("S", ""),
                                "routing-keys": _strings("q1"),
                            },
                        )
                    ],
                ),
            ],
            "x-first-death-queue": longstrs("mine"),
        }
    ),
    "ttl": Feature(
        arguments={"x-message-ttl": _TIMES, "x-expires": integers(_LATER)},
        properties={"expiration": ["0", str(_LATER)]},
        policy={"message-ttl": [0, _LATER], "expires": [_LATER]},
    ),
    "priority": Feature(
        arguments={"x-max-priority": integers(1, 3, 10)},
        properties={"priority": [0, 1, 2, 3, 9, 200]},
        consumer={"x-priority": integers(0, 1, -1, 5)},
    ),
    "sac": Feature(arguments={"x-single-active-consumer": [("t", True), ("t", False)]}),
    "bad": Feature(
        arguments={
            "x-message-ttl": [*integers(-1), *longstrs("x"), ("t", True), ("l", 315_360_000_001)],
            "x-expires": [*integers(0, -1), ("d", 1.5)],
            "x-max-length": [*integers(-1), *longstrs("1"), ("V", None)],
            "x-max-priority": [*integers(256, -1), *longstrs("1")],
            "x-overflow": [*longstrs("bogus"), *integers(1)],
            "x-queue-type": [*longstrs("bogus"), *integers(1)],
            "x-queue-mode": [*longstrs("bogus"), *integers(1)],
            "x-queue-version": [*longstrs("bogus"), *integers(3)],
            "x-dead-letter-exchange": [*integers(1), ("A", [])],
            "x-dead-letter-routing-key": [*integers(1), *longstrs("k0")],
            "x-single-active-consumer": [*longstrs("true"), *integers(1)],
            "x-delivery-limit": integers(1),
            "x-max-age": longstrs("1h"),
            "x-unknown": [*longstrs("x"), ("F", {})],
        },
        properties={
            "expiration": ["", "x", "-1", "1.5", "315360000001"],
            "delivery_mode": [0, 3],
            "user_id": ["guest", "bob"],
        },
        headers={"CC": [*longstrs("q0"), ("A", [("I", 1), ("S", "q1")]), ("F", {})]},
        consumer={"x-priority": [*longstrs("1"), ("t", True), ("l", 2)]},
        exchange={"alternate-exchange": [*integers(1), ("t", True)]},
        policy={
            "max-length": [-1, "1", None],
            "message-ttl": [-1, 1.5, "x"],
            "expires": [0, True],
            "overflow": ["bogus", 1],
            "dead-letter-exchange": [1, []],
            "max-priority": [5],
            "bogus": [1, {}],
        },
    ),
    "cc": Feature(
        headers={
            "CC": [_strings("q0"), _strings("q1", "k0"), _strings("q2"), ("S", "q0")],
            "BCC": [_strings("q1"), _strings("q2", "q2")],
        }
    ),
    "ae": Feature(
        exchange={"alternate-exchange": longstrs("x0", "x1", "x2", "missing", "amq.fanout")},
        policy={"alternate-exchange": ["x0", "x1", "x2", "missing", "amq.fanout"]},
    ),
    "e2e": Feature(
        steps=(
            steps(
                "exchange.bind",
                destination=words.exchanges,
                source=words.exchanges,
                routing_key=st.sampled_from(words.PATTERNS),
            ),
            steps(
                "exchange.unbind",
                destination=words.exchanges,
                source=words.exchanges,
                routing_key=st.sampled_from(words.PATTERNS),
            ),
        ),
        weight=2,
    ),
    "reply": Feature(
        properties={"reply_to": ["amq.rabbitmq.reply-to", "q0"]},
        steps=(
            steps("basic.consume", queue="amq.rabbitmq.reply-to", no_ack=True),
            steps("basic.consume", queue="amq.rabbitmq.reply-to", consumer_tag="r0", no_ack=True),
            steps("basic.consume", queue=words.queues, consumer_tag="r0", no_ack=words.booleans),
            steps("basic.cancel", consumer_tag="r0"),
            steps("publish", routing_key="$reply1", body="@", mandatory=words.booleans),
            steps("publish", routing_key="amq.rabbitmq.reply-to.bogus", body="@"),
            steps("queue.declare", queue="$reply1", passive=True),
            steps("basic.get", queue="amq.rabbitmq.reply-to"),
        ),
        weight=2,
    ),
    "quorum": Feature(
        queue_type="quorum",
        arguments={
            "x-delivery-limit": integers(0, 1, 2),
            "x-dead-letter-strategy": longstrs("at-most-once", "at-least-once"),
        },
        policy={
            "delivery-limit": [0, 1, 2],
            "dead-letter-strategy": ["at-most-once", "at-least-once"],
        },
    ),
    "stream": Feature(
        queue_type="stream",
        arguments={
            "x-max-length-bytes": integers(4, 1_000_000),
            "x-max-age": longstrs("1h", "7D"),
            "x-initial-cluster-size": integers(1),
        },
        consumer={"x-stream-offset": _OFFSETS},
        policy={"max-age": ["1h", "7D"], "max-length-bytes": [4, 1_000_000]},
        singly=True,
        first=tuple(_credit(place) for place in ("a/1", "a/2", "b/1")),
        steps=(
            _credit(words.places),
            *[
                steps(
                    "basic.consume",
                    queue=words.queues,
                    consumer_tag=words.tags,
                    arguments=words.tables(**{"x-stream-offset": _OFFSETS}),
                )
            ]
            * 3,
            *[steps("basic.ack", delivery_tag=_CHOSEN, multiple=words.sometimes)] * 3,
            steps("queue.declare", queue=words.queues, passive=True),
        ),
        weight=9,
    ),
    "policy": Feature(weight=5),  # what they say is the other features'
    "tx": Feature(
        steps=(
            steps("tx.select"),
            steps("tx.commit"),
            steps("tx.commit"),
            steps("tx.rollback"),
        ),
        weight=4,
    ),
}


# What a stream of RabbitMQ's loses, with the message or without: see man/mqd-differences.7.
LOST_IN_STREAMS = ("dlx", "death", "cc")


def programs(chosen: Iterable[str], length: int = 14) -> st.SearchStrategy[list[str]]:
    """Programs that use these features, of about two and a half times `length` steps."""
    features = [FEATURES[name] for name in chosen]
    # a list of lists: Hypothesis draws longer ones, and still takes single steps away
    some = st.lists(_steps(features), min_size=1, max_size=4)
    rest = st.lists(some, min_size=1, max_size=length).map(_joined)
    return st.tuples(_beginnings(features), rest).map(_joined).map(_numbered)


def _joined(parts: Iterable[list[str]]) -> list[str]:
    return list(chain.from_iterable(parts))


def _numbered(program: list[str]) -> list[str]:
    """Every message with a body of its own."""
    return [line.replace("@", f"m{index}") for index, line in enumerate(program)]


def _merged(features: list[Feature], what: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for feature in features:
        for name, values in getattr(feature, what).items():
            found[name] = [*found.get(name, []), *values]
    return found


# -- beginnings ------------------------------------------------------------------------------------


@st.composite
def _beginnings(draw: st.DrawFn, features: list[Feature]) -> list[str]:
    lines = [draw(line) for feature in features for line in feature.first]
    lines += [draw(_declares(features, st.just(name))) for name in words.QUEUES[: draw(_COUNTS)]]
    names = draw(st.lists(words.exchanges, unique=True, max_size=3))
    lines += [draw(_exchange_declares(features, name)) for name in sorted(names)]
    if names:
        lines += draw(st.lists(_bindings(names), max_size=4))
    return lines


_COUNTS = st.sampled_from((1, 2, 2, 3, 3))


def _declares(features: list[Feature], names: st.SearchStrategy[str]) -> Lines:
    arguments = _merged([one for one in features if not one.queue_type], "arguments")
    common = {"at": st.sampled_from(("a/1", "a/1", "b/1")), "queue": names}
    classic = steps(
        "queue.declare",
        durable=words.booleans,
        exclusive=words.seldom,
        auto_delete=words.seldom,
        arguments=_arguments(arguments),
        **common,
    )
    others = []
    for feature in features:
        if feature.queue_type:
            kind = typed(feature.queue_type)
            drawn = _arguments({**arguments, **feature.arguments}).map(kind)
            own = _arguments(feature.arguments).map(kind)
            others += [
                steps("queue.declare", durable=True, arguments=table, **common)
                for table in ((own, own, drawn) if feature.singly else (drawn, drawn))
            ]
    return st.one_of(*others, classic)


def typed(kind: str) -> Callable[[wire.Table], wire.Table]:
    """Arguments with that queue type."""
    return lambda table: {"x-queue-type": ("S", kind), **table}


@st.composite
def _arguments(draw: st.DrawFn, choices: dict[str, list[wire.Field]]) -> wire.Table:
    """Up to three of them."""
    if not choices:
        return {}
    names = draw(st.lists(st.sampled_from(sorted(choices)), unique=True, max_size=3))
    if "x-dead-letter-routing-key" in names and not draw(words.seldom):
        names = ["x-dead-letter-exchange", *(n for n in names if n != "x-dead-letter-exchange")]
    return {name: draw(st.sampled_from(choices[name])) for name in names}


def _exchange_declares(features: list[Feature], name: str) -> Lines:
    return steps(
        "exchange.declare",
        at="a/1",
        exchange=name,
        type=words.EXCHANGES[name],
        durable=words.booleans,
        auto_delete=words.seldom,
        internal=words.seldom,
        arguments=words.tables(**_merged(features, "exchange")),
    )


_MATCHES = words.tables(
    **{"x-match": longstrs("all", "any", "any-with-x"), "h": integers(1, 2), "x-h": longstrs("v")}
)


def _bindings(names: list[str]) -> Lines:
    def of(name: str) -> Lines:
        is_headers = words.EXCHANGES[name] == "headers"
        return steps(
            "queue.bind",
            at="a/1",
            queue=words.queues,
            exchange=name,
            routing_key=st.sampled_from(words.PATTERNS),
            arguments=_MATCHES if is_headers else {},
        )

    return st.sampled_from(sorted(names)).flatmap(of)


# -- steps -----------------------------------------------------------------------------------------


def _steps(features: list[Feature]) -> Lines:
    weighted: list[tuple[int, Lines]] = [
        (10, _publishes(features)),
        (6, _consumes(features)),
        (9, _settlements()),
        (4, steps("basic.get", queue=words.queues, no_ack=words.sometimes)),
        (3, _looks()),
        (3, _changes(features)),
        (2, _endings()),
        (2, _modes()),
    ]
    weighted += [
        (feature.weight, st.one_of(feature.steps)) for feature in features if feature.steps
    ]
    if FEATURES["policy"] in features:
        weighted.append((FEATURES["policy"].weight, _policies(features)))
    names = [index for index, (weight, _) in enumerate(weighted) for _ in range(weight)]
    return st.sampled_from(names).flatmap(lambda index: weighted[index][1])


def _publishes(features: list[Feature]) -> Lines:
    headers = _merged(features, "headers") | {"h": integers(1, 2), "x-h": longstrs("v")}
    properties: dict[str, list[Any]] = {
        "message_id": ["i"],
        "delivery_mode": [1, 2],
        **_merged(features, "properties"),
    }
    optional = {name: st.sampled_from(values).map(_typed) for name, values in properties.items()}
    optional["headers"] = words.tables(**headers).map(lambda table: ("F", table))
    props = st.one_of(st.just({}), st.fixed_dictionaries({}, optional=optional))
    bodies = st.sampled_from(("@", "@", "@-and-some-more"))
    common: dict[str, Any] = {"mandatory": words.seldom, "props": props}
    several = {"body": "@.", "count": st.sampled_from((2, 3))}
    if any(feature.singly for feature in features):
        several = {"body": bodies}
    return st.one_of(
        steps("publish", routing_key=words.queues, body=bodies, **common),
        steps("publish", routing_key=words.queues, **several, **common),
        steps("publish", exchange=words.exchanges, routing_key=words.keys, body=bodies, **common),
    )


def _typed(value: Any) -> wire.Field:
    return ("S", value) if isinstance(value, str) else ("I", value)


def _consumes(features: list[Feature]) -> Lines:
    return st.one_of(
        steps(
            "basic.consume",
            queue=words.queues,
            consumer_tag=words.tags,
            no_ack=words.sometimes,
            exclusive=words.seldom,
            arguments=words.tables(**_merged(features, "consumer")),
        ),
        steps("basic.consume", queue=words.queues, no_ack=words.sometimes),
        steps("basic.cancel", consumer_tag=words.tags),
        steps(
            "basic.qos",
            prefetch_count=st.integers(0, 3),
            **{"global": words.seldom},
        ),
    )


def _settlements() -> Lines:
    return st.one_of(
        steps("basic.ack", delivery_tag=_CHOSEN, multiple=words.sometimes),
        steps("basic.nack", delivery_tag=_CHOSEN, multiple=words.sometimes, requeue=words.booleans),
        steps("basic.reject", delivery_tag=_CHOSEN, requeue=words.booleans),
        steps("basic.recover", requeue=True),
        steps("basic.ack", delivery_tag=st.sampled_from((0, 0, 99)), multiple=words.booleans),
    )


def _looks() -> Lines:
    return st.one_of(
        steps("queue.declare", queue=words.queues, passive=True),
        steps("exchange.declare", exchange=words.exchanges, type="direct", passive=True),
    )


def _changes(features: list[Feature]) -> Lines:
    return st.one_of(
        _declares(features, words.queues),
        steps("queue.declare", exclusive=words.booleans),
        steps("queue.purge", queue=words.queues),
        steps(
            "queue.delete", queue=words.queues, if_unused=words.sometimes, if_empty=words.sometimes
        ),
        words.exchanges.flatmap(lambda name: _exchange_declares(features, name)),
        words.exchanges.flatmap(lambda name: _bindings([name])),
        steps(
            "queue.unbind",
            queue=words.queues,
            exchange=words.exchanges,
            routing_key=st.sampled_from(words.PATTERNS),
        ),
        steps("exchange.delete", exchange=words.exchanges, if_unused=words.sometimes),
    )


def _endings() -> Lines:
    return st.one_of(
        steps("channel.close", reply_code=200),
        steps("connection.close", at=st.sampled_from(("a", "b")), reply_code=200),
        steps("disconnect", at=st.sampled_from(("a", "b"))),
    )


def _modes() -> Lines:
    return steps("confirm.select")


_PATTERNS = ("^q", "^q0$", "1", "q0|x1", "^x", "", "^amq", "(?i)Q2", "[")
_OF_OPERATORS = ("expires", "message-ttl", "max-length", "max-length-bytes", "delivery-limit")


def _policies(features: list[Feature]) -> Lines:
    """Policies and operator policies are set and cleared; each name has a priority of its own, so
    that it is no chance which one applies."""
    choices = _merged(features, "policy")
    bounds = {key: choices[key] for key in _OF_OPERATORS if key in choices}
    clears = st.sampled_from(words.POLICIES).map(
        lambda name: f"ctl: clear_{words.POLICY_KINDS[name[0]]} -p / {name}"
    )
    return st.one_of(
        _sets("p", choices),
        _sets("p", choices),
        _sets("o", bounds or choices),
        clears,
        _sets("o", choices) if len(bounds) < len(choices) else clears,
    )


@st.composite
def _sets(draw: st.DrawFn, kind: str, choices: dict[str, list[Any]]) -> str:
    name = draw(st.sampled_from([name for name in words.POLICIES if name[0] == kind]))
    keys = draw(st.lists(st.sampled_from(sorted(choices)), unique=True, max_size=3))
    definition = json.dumps({key: draw(st.sampled_from(choices[key])) for key in keys})
    pattern = draw(st.sampled_from(_PATTERNS))
    apply_to = draw(st.sampled_from(("", "", "", "queues", "exchanges", "all")))
    verb = f"ctl: set_{words.POLICY_KINDS[kind]} -p / --priority {name[1:]}"
    chosen = f" --apply-to {apply_to}" if apply_to else ""
    return f"{verb}{chosen} {name} {shlex.quote(pattern)} {shlex.quote(definition)}"
