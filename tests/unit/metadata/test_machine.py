"""mqd.metadata.machine: what is allowed, in which words, and what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.errors import ErrorCode, MqdError
from mqd.metadata import commands as c
from mqd.metadata.commands import Command, Must, VhostRecord
from mqd.metadata.difference import replay
from mqd.metadata.machine import State, apply, commands_of, key_of

FULL = Permission(".*", ".*", ".*")


@pytest.fixture
def state() -> State:
    state = State()
    apply(state, c.PutVhost(VhostRecord("/")))
    apply(state, c.PutVhost(VhostRecord("other")))
    apply(state, c.PutUser(User("u")))
    apply(state, c.PutPermission("u", "/", FULL))
    apply(state, c.PutPermission("u", "other", FULL))
    apply(state, c.PutTopicPermission("u", "/", "amq.topic", TopicPermission("w", "r")))
    apply(state, c.PutTopicPermission("u", "/", "logs", TopicPermission("w", "r")))
    apply(state, c.PutParameter("/", "policy", "p", {}))
    apply(state, c.PutExchange(ExchangeDefinition("/", "logs", "fanout")))
    apply(state, c.PutQueue(QueueDefinition(1, "/", "q")))
    apply(state, c.PutBinding(BindingDefinition("/", "logs", "queue", "q", "k")))
    apply(state, c.PutBinding(BindingDefinition("/", "logs", "exchange", "amq.topic", "k")))
    return state


def test_a_new_vhost_has_the_predeclared_exchanges() -> None:
    heard = apply(State(), c.PutVhost(VhostRecord("v")))
    assert heard[0] == c.PutVhost(VhostRecord("v"))
    names = [each.exchange.name for each in heard[1:] if isinstance(each, c.PutExchange)]
    assert sorted(names) == [
        "amq.direct",
        "amq.fanout",
        "amq.headers",
        "amq.match",
        "amq.rabbitmq.trace",
        "amq.topic",
    ]


def test_a_vhost_that_is_there_is_changed_and_keeps_what_it_has(state: State) -> None:
    change = c.PutVhost(VhostRecord("/", "new words"))
    assert apply(state, change) == (change,)
    assert state.vhosts["/"].description == "new words"
    assert ("/", "q") in state.queues


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (c.DeleteVhost("v"), ErrorCode.NO_SUCH_VHOST, "Virtual host 'v' does not exist"),
        (
            c.PutVhost(VhostRecord("v"), Must.EXIST),
            ErrorCode.NO_SUCH_VHOST,
            "Virtual host 'v' does not exist",
        ),
        (
            c.PutVhost(VhostRecord("/"), Must.BE_NEW),
            ErrorCode.ALREADY_EXISTS,
            "Virtual host '/' already exists",
        ),
        (c.PutUser(User("u"), Must.BE_NEW), ErrorCode.ALREADY_EXISTS, 'User "u" already exists'),
        (c.PutUser(User("x"), Must.EXIST), ErrorCode.NO_SUCH_USER, 'User "x" does not exist'),
        (c.DeleteUser("x"), ErrorCode.NO_SUCH_USER, 'User "x" does not exist'),
        # observed: rabbitmqctl 3.10.8 looks for the user first, and quotes neither
        (c.PutPermission("x", "v", FULL), ErrorCode.NO_SUCH_USER, "User x does not exist"),
        (c.PutPermission("u", "v", FULL), ErrorCode.NO_SUCH_VHOST, "Virtual host v does not exist"),
        (c.DeletePermission("x", "/"), ErrorCode.NO_SUCH_USER, "User x does not exist"),
        (c.DeletePermission("u", "v"), ErrorCode.NO_SUCH_VHOST, "Virtual host v does not exist"),
        (c.DeleteTopicPermission("x", "/"), ErrorCode.NO_SUCH_USER, "User x does not exist"),
        (c.DeleteParameter("/", "policy", "x"), ErrorCode.NOT_FOUND, "Parameter does not exist"),
        (c.DeleteParameter("v", "policy", "p"), ErrorCode.NOT_FOUND, "Parameter does not exist"),
        (c.DeleteGlobalParameter("x"), ErrorCode.NOT_FOUND, "Parameter does not exist"),
        (
            c.PutParameter("v", "policy", "p", {}),
            ErrorCode.NO_SUCH_VHOST,
            "Virtual host 'v' does not exist",
        ),
        (
            c.PutQueue(QueueDefinition(2, "/", "q")),
            ErrorCode.ALREADY_EXISTS,
            "queue 'q' in vhost '/' exists already",
        ),
        (
            c.PutExchange(ExchangeDefinition("/", "logs", "topic")),
            ErrorCode.ALREADY_EXISTS,
            "exchange 'logs' in vhost '/' exists already",
        ),
        (
            c.PutQueue(QueueDefinition(1, "v", "q")),
            ErrorCode.NO_SUCH_VHOST,
            "Virtual host 'v' does not exist",
        ),
        (
            c.PutExchange(ExchangeDefinition("v", "x")),
            ErrorCode.NO_SUCH_VHOST,
            "Virtual host 'v' does not exist",
        ),
        (
            c.PutBinding(BindingDefinition("/", "logs", "queue", "x", "")),
            ErrorCode.NOT_FOUND,
            "no queue 'x' in vhost '/'",
        ),
        (
            c.PutBinding(BindingDefinition("/", "x", "queue", "q", "")),
            ErrorCode.NOT_FOUND,
            "no exchange 'x' in vhost '/'",
        ),
    ],
)
def test_refusals_leave_no_trace(
    state: State, command: Command, code: ErrorCode, words: str
) -> None:
    before = list(commands_of(state))
    with pytest.raises(MqdError) as caught:
        apply(state, command)
    assert (caught.value.code, caught.value.detail) == (code, words)
    assert list(commands_of(state)) == before


def test_a_queue_goes_from_a_shard_to_another_one_by_way_of_none(state: State) -> None:
    """Its messages are in the log of the first. Two members may have chosen at the same time."""
    queue = QueueDefinition(9, "/", "u", type="quorum")

    def put(shard: int | None, must: Must = Must.EXIST) -> None:
        apply(state, c.PutQueue(replace(queue, shard=shard), must))

    put(None, Must.ANYTHING)
    put(1)
    put(1)
    with pytest.raises(MqdError, match="is in a shard already"):
        put(0)
    assert state.queues["/", "u"].shard == 1
    replay(state, c.PutQueue(replace(queue, shard=0), Must.EXIST))  # an mqd that allowed it
    assert state.queues["/", "u"].shard == 0
    put(None)
    put(1)
    assert state.queues["/", "u"].shard == 1


def test_a_deleted_vhost_takes_everything_with_it(state: State) -> None:
    delete = c.DeleteVhost("/")
    assert apply(state, delete) == (delete,)
    assert list(state.permissions) == [("u", "other")]
    assert state.topic_permissions == {}
    assert state.parameters == {}
    assert {vhost for vhost, _ in state.exchanges} == {"other"}
    assert state.queues == {}
    assert state.bindings == {}
    assert state.bindings_at("/", "exchange", "logs") == []


def test_a_deleted_user_takes_its_permissions(state: State) -> None:
    apply(state, c.DeleteUser("u"))
    assert state.user("u") is None
    assert state.permission("u", "/") is None
    assert state.topic_permission("u", "/", "logs") is None


def test_a_deleted_queue_takes_its_bindings(state: State) -> None:
    apply(state, c.DeleteQueue("/", "q"))
    assert [each.destination for each in state.bindings.values()] == ["amq.topic"]


@pytest.mark.parametrize("exchange", ["logs", "amq.topic"])
def test_a_deleted_exchange_takes_bindings_at_both_ends(state: State, exchange: str) -> None:
    apply(state, c.DeleteExchange("/", exchange))
    assert state.bindings_at("/", "exchange", exchange) == []
    assert len(state.bindings) == (0 if exchange == "logs" else 1)


def test_an_exchange_that_lost_its_last_binding_goes_unless_it_is_another_by_then() -> None:
    state = State()
    apply(state, c.PutVhost(c.VhostRecord("/"), predeclare=False))
    going = c.DeleteExchange("/", "x", if_unused=True)
    assert apply(state, going) == ()
    exchange = ExchangeDefinition("/", "x", "fanout", durable=True, auto_delete=True)
    apply(state, c.PutExchange(exchange))
    apply(state, c.PutExchange(ExchangeDefinition("/", "stays", "fanout", durable=True)))
    binding = BindingDefinition("/", "x", "exchange", "stays", "")
    apply(state, c.PutBinding(binding))
    apply(state, c.PutBinding(BindingDefinition("/", "stays", "exchange", "x", "")))
    assert apply(state, going) == ()
    assert apply(state, c.DeleteExchange("/", "stays", if_unused=True)) == ()
    apply(state, c.DeleteBinding(binding))
    assert apply(state, going) == (going,)
    assert list(state.exchanges) == [("/", "stays")]
    assert not state.bindings


def test_deleting_topology_that_is_not_there_changes_nothing(state: State) -> None:
    before = list(commands_of(state))
    apply(state, c.DeleteQueue("/", "x"))
    apply(state, c.DeleteExchange("/", "x"))
    apply(state, c.DeleteBinding(BindingDefinition("/", "logs", "queue", "q", "other")))
    assert list(commands_of(state)) == before


def test_topic_permissions_go_one_by_one_or_all(state: State) -> None:
    apply(state, c.DeleteTopicPermission("u", "/", "logs"))
    assert list(state.topic_permissions) == [("u", "/", "amq.topic")]
    apply(state, c.DeleteTopicPermission("u", "/"))
    assert state.topic_permissions == {}


def test_a_binding_is_its_five_parts_arguments_in_any_order(state: State) -> None:
    one = BindingDefinition(
        "/", "logs", "queue", "q", "", {"a": ("signedint", 1), "b": ("bool", True)}
    )
    same = BindingDefinition(
        "/", "logs", "queue", "q", "", {"b": ("bool", True), "a": ("signedint", 1)}
    )
    other = BindingDefinition("/", "logs", "queue", "q", "", {"a": ("long", 1)})
    assert key_of(one) == key_of(same) != key_of(other)
    for each in (one, same, other):
        apply(state, c.PutBinding(each))
    assert len(state.bindings) == 4
    apply(state, c.DeleteBinding(same))
    assert len(state.bindings) == 3


def test_an_exchange_bound_to_itself_goes_with_its_binding(state: State) -> None:
    apply(state, c.PutBinding(BindingDefinition("/", "logs", "exchange", "logs", "")))
    apply(state, c.DeleteExchange("/", "logs"))
    assert state.bindings == {}


def test_virgin() -> None:
    state = State()
    assert state.is_virgin
    apply(state, c.PutGlobalParameter("cluster_name", "x"))
    assert state.is_virgin
    apply(state, c.PutUser(User("u")))
    assert not state.is_virgin
    state.clear()
    assert state.is_virgin
    assert list(commands_of(state)) == []


def test_a_copy_stays_as_it_was(state: State) -> None:
    copy = state.copy()
    before = list(commands_of(copy))
    apply(state, c.DeleteVhost("/"))
    apply(state, c.DeleteUser("u"))
    assert list(commands_of(copy)) == before


def test_a_batch_is_heard_as_its_parts(state: State) -> None:
    parts = (
        c.PutVhost(VhostRecord("new")),
        c.PutQueue(QueueDefinition(2, "new", "q")),
        c.PutBinding(BindingDefinition("new", "amq.topic", "queue", "q", "#")),
    )
    heard = apply(state, c.Batch(parts))
    assert [each for each in heard if not isinstance(each, c.PutExchange)] == list(parts)
    assert len(state.bindings_at("new", "queue", "q")) == 1


def test_a_batch_with_one_refusal_leaves_no_trace(state: State) -> None:
    before = list(commands_of(state))
    ends = state.bindings_at("/", "exchange", "logs")
    batch = c.Batch(
        (
            c.DeleteQueue("/", "q"),
            c.PutUser(User("new")),
            c.PutBinding(BindingDefinition("/", "logs", "queue", "gone", "k")),
        )
    )
    with pytest.raises(MqdError, match="no queue 'gone'"):
        apply(state, batch)
    assert list(commands_of(state)) == before
    assert state.bindings_at("/", "exchange", "logs") == ends
    apply(state, c.DeleteExchange("/", "logs"))  # what leads to what is known as before
    assert not state.bindings


def test_a_queue_is_changed_under_its_id_and_deleted_under_it(state: State) -> None:
    changed = c.PutQueue(QueueDefinition(1, "/", "q", max_age_s=7))
    assert apply(state, changed) == (changed,)
    assert state.queues["/", "q"].max_age_s == 7
    assert apply(state, c.DeleteQueue("/", "q", 9)) == ()
    assert state.bindings_at("/", "queue", "q")
    gone = c.DeleteQueue("/", "q", 1)
    assert apply(state, gone) == (gone,)
    assert ("/", "q") not in state.queues
    assert apply(state, gone) == (gone,)
