"""x-consistent-hash: stable, as fair as its weights, and moving as few keys as can be."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Offered
from mqd.broker.exchanges.consistent_hash import ConsistentHashExchange
from mqd.broker.exchanges.registry import ALONE

MESSAGE = Offered()
KEYS = [f"key.{number}" for number in range(300)]
weights = st.integers(1, 5)
rings = st.lists(st.tuples(st.sampled_from("abcdefgh"), weights), min_size=1, max_size=8)


def bound(queue: str, weight: int) -> BindingDefinition:
    return BindingDefinition("/", "x", "queue", queue, str(weight))


def made(ring: list[tuple[str, int]]) -> ConsistentHashExchange:
    live = ConsistentHashExchange(ExchangeDefinition("/", "x", "x-consistent-hash"), ALONE)
    for queue, weight in dict.fromkeys(ring):  # `BindingTable` lets none in twice
        live.bind(bound(queue, weight))
    return live


def places(live: ConsistentHashExchange) -> dict[str, str]:
    return {key: next(iter(live.route(key, MESSAGE)))[1] for key in KEYS}


@settings(deadline=None)
@given(rings)
def test_every_key_has_one_place_and_keeps_it(ring: list[tuple[str, int]]) -> None:
    live = made(ring)
    first = places(live)
    assert set(first.values()) <= {queue for queue, _ in ring}
    assert places(live) == first == places(made(ring))


@settings(deadline=None)
@given(rings, weights)
def test_a_new_queue_takes_keys_and_moves_none_between_the_others(
    ring: list[tuple[str, int]], weight: int
) -> None:
    live = made(ring)
    before = places(live)
    live.bind(bound("new", weight))
    after = places(live)
    moved = {key for key in KEYS if before[key] != after[key]}
    assert {after[key] for key in moved} <= {"new"}
    # and the one who came last can go as if it had never been there
    live.unbind(bound("new", weight))
    assert places(live) == before


@settings(deadline=None)
@given(rings, weights)
def test_no_more_keys_move_than_the_newcomers_share(
    ring: list[tuple[str, int]], weight: int
) -> None:
    live = made(ring)
    before = places(live)
    live.bind(bound("new", weight))
    moved = sum(before[key] != place for key, place in places(live).items())
    total = sum(dict(reversed(ring)).values())
    share = weight / (weight + total)
    assert moved <= len(KEYS) * share + 4 * (len(KEYS) * share * (1 - share)) ** 0.5 + 1


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), weights, min_size=2))
def test_shares_are_as_the_weights(ring: dict[str, int]) -> None:
    live = made(list(ring.items()))
    found = Counter(next(iter(live.route(f"k{n}", MESSAGE)))[1] for n in range(4000))
    total = sum(ring.values())
    for queue, weight in ring.items():
        share = weight / total
        assert abs(found[queue] - 4000 * share) < 5 * (4000 * share * (1 - share)) ** 0.5


@settings(deadline=None)
@given(rings, st.data())
def test_the_ring_is_that_of_the_bindings_left(
    ring: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Where each queue is bound once, the past does not matter: after a restart it is the same."""
    once = list(dict(ring).items())
    live = made(once)
    gone = data.draw(st.lists(st.sampled_from(once), unique=True, max_size=len(once) - 1))
    for each in gone:
        live.unbind(bound(*each))
    assert places(live) == places(made([each for each in once if each not in gone]))
