"""The metadata machine under any commands: a snapshot makes the same state, refusals none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.errors import MqdError
from mqd.metadata import commands as c
from mqd.metadata.commands import Command, Must, VhostRecord, decode, encode
from mqd.metadata.difference import difference, replay
from mqd.metadata.machine import State, apply, commands_of

NAMES = st.sampled_from(["a", "b", "\udcff"])
VHOSTS = st.sampled_from(["/", "v"])
EXCHANGES = st.sampled_from(["a", "amq.topic", "amq.direct"])
ARGUMENTS = st.dictionaries(NAMES, st.tuples(st.just("longstr"), st.binary(max_size=3)), max_size=2)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
BINDINGS = st.one_of(
    st.builds(BindingDefinition, VHOSTS, EXCHANGES, st.just("queue"), NAMES, NAMES, ARGUMENTS),
    st.builds(BindingDefinition, VHOSTS, EXCHANGES, st.just("exchange"), EXCHANGES, NAMES),
)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        c.PutVhost,
        st.builds(VhostRecord, VHOSTS, NAMES, st.tuples(NAMES)),
        st.sampled_from(Must),
    ),
    st.builds(c.DeleteVhost, VHOSTS),
    st.builds(c.PutUser, st.builds(User, NAMES, st.binary(max_size=4)), st.sampled_from(Must)),
    st.builds(c.DeleteUser, NAMES),
    st.builds(c.PutPermission, NAMES, VHOSTS, st.builds(Permission, NAMES, NAMES, NAMES)),
    st.builds(c.DeletePermission, NAMES, VHOSTS),
    st.builds(
        c.PutTopicPermission, NAMES, VHOSTS, EXCHANGES, st.builds(TopicPermission, NAMES, NAMES)
    ),
    st.builds(c.DeleteTopicPermission, NAMES, VHOSTS, st.none() | EXCHANGES),
    st.builds(c.PutParameter, VHOSTS, NAMES, NAMES, JSON),
    st.builds(c.DeleteParameter, VHOSTS, NAMES, NAMES),
    st.builds(c.PutGlobalParameter, NAMES, JSON),
    st.builds(c.DeleteGlobalParameter, NAMES),
    st.builds(
        c.PutExchange,
        st.builds(ExchangeDefinition, VHOSTS, EXCHANGES, st.just("topic"), arguments=ARGUMENTS),
    ),
    st.builds(c.DeleteExchange, VHOSTS, EXCHANGES),
    st.builds(
        c.PutQueue,
        st.builds(QueueDefinition, st.integers(1, 3), VHOSTS, NAMES, arguments=ARGUMENTS),
    ),
    st.builds(c.DeleteQueue, VHOSTS, NAMES, st.integers(0, 3)),
    st.builds(c.PutBinding, BINDINGS),
    st.builds(c.DeleteBinding, BINDINGS),
)

MEMBERS = st.builds(c.Member, NAMES, st.just("00000000"), st.integers(1, 3))
CLUSTERS = st.none() | st.builds(c.ClusterRecord, NAMES, st.integers(1, 3))
ALL_COMMANDS: st.SearchStrategy[Command] = st.one_of(
    COMMANDS,
    st.builds(c.PutMember, MEMBERS),
    st.builds(c.DeleteMember, NAMES),
    st.builds(c.PutCluster, CLUSTERS),
)


def contents(state: State) -> list[Command]:
    return list(commands_of(state))


@settings(max_examples=200, deadline=None)
@given(st.lists(COMMANDS, max_size=40))
def test_any_history(history: list[Command]) -> None:
    state = State()
    for vhost in ("/", "v"):
        apply(state, c.PutVhost(VhostRecord(vhost)))
    accepted: list[Command] = contents(state)
    for command in history:
        before = contents(state)
        try:
            heard = apply(state, command)
        except MqdError:
            assert contents(state) == before
        else:
            assert heard[:1] == (command,) or contents(state) == before
            accepted.append(command)
        check_references(state)
    # the log and the snapshot, through their bytes, make the same state
    for source in (accepted, contents(state)):
        replayed = State()
        for command in source:
            apply(replayed, decode(encode(command)))
        assert contents(replayed) == contents(state) or same(replayed, state)


@settings(max_examples=100, deadline=None)
@given(st.lists(COMMANDS, max_size=20), st.lists(COMMANDS, max_size=6))
def test_a_batch_is_its_parts_or_nothing(history: list[Command], parts: list[Command]) -> None:
    state, apart = State(), State()
    for each in (state, apart):
        apply(each, c.PutVhost(VhostRecord("/")))
        for command in history:
            with contextlib.suppress(MqdError):
                apply(each, command)
    before = contents(state)
    batch = decode(encode(c.Batch(tuple(parts))))
    try:
        heard = [one for part in parts for one in apply(apart, part)]
    except MqdError:
        with pytest.raises(MqdError):
            apply(state, batch)
        assert contents(state) == before
    else:
        assert apply(state, batch) == tuple(heard)
        assert contents(state) == contents(apart)
    check_references(state)


def made(history: list[Command]) -> State:
    state = State()
    apply(state, c.PutVhost(VhostRecord("/")))
    for command in history:
        with contextlib.suppress(MqdError):
            apply(state, command)
    return state


@settings(max_examples=200, deadline=None)
@given(st.lists(ALL_COMMANDS, max_size=40), st.lists(ALL_COMMANDS, max_size=40))
def test_a_difference_makes_the_other_state(one: list[Command], other: list[Command]) -> None:
    old, new = made(one), made(other)
    before, after = contents(old), contents(new)
    commands = difference(old, new)
    assert (contents(old), contents(new)) == (before, after)
    for command in commands:
        read = decode(encode(command))
        if isinstance(read, c.PutMember):  # a number that was refused once may be told of
            old.members[read.member.name] = read.member
        else:
            apply(old, read)
    assert same(old, new)
    check_references(old)
    assert difference(old, new) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(COMMANDS, max_size=30))
def test_what_was_logged_before_names_were_guarded_is_read(history: list[Command]) -> None:
    """A put that is refused now may have been accepted then."""
    state = State()
    for vhost in ("/", "v"):
        replay(state, c.PutVhost(VhostRecord(vhost)))
    for command in history:
        if isinstance(command, c.PutQueue):
            replay(state, c.Batch((command,)))
            assert state.queues[command.queue.vhost, command.queue.name] == command.queue
        elif isinstance(command, c.PutExchange):
            replay(state, command)
            key = command.exchange.vhost, command.exchange.name
            assert state.exchanges[key] == command.exchange
        elif isinstance(command, c.PutBinding):
            with contextlib.suppress(MqdError):
                replay(state, command)
    check_references(state)


def same(one: State, other: State) -> bool:
    """Equal but for the order in which things are listed."""
    return {k: v for k, v in vars(one).items() if k != "_ends"} == {
        k: v for k, v in vars(other).items() if k != "_ends"
    }


def check_references(state: State) -> None:
    """Nothing refers to what is not there."""
    for user, vhost in state.permissions:
        assert user in state.users
        assert vhost in state.vhosts
    for user, vhost, _ in state.topic_permissions:
        assert user in state.users
        assert vhost in state.vhosts
    for vhost, *_ in [*state.parameters, *state.exchanges, *state.queues]:
        assert vhost in state.vhosts
    for key in state.bindings:
        assert (key.vhost, key.source) in state.exchanges
        ends = state.queues if key.destination_kind == "queue" else state.exchanges
        assert (key.vhost, key.destination) in ends
    indexed = {key for keys in state._ends.values() for key in keys}
    assert indexed == set(state.bindings)
