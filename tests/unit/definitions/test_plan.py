"""mqd.definitions.plan, checks, faults: what a file adds, and what is wrong with one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.exchanges.registry import BUILT_IN
from mqd.definitions.faults import FAULTS_MAX, Fault, Refused
from mqd.definitions.plan import Plan, Tools, object_count, plan
from mqd.errors import ErrorCode
from mqd.metadata import commands as c
from mqd.metadata.commands import VhostRecord
from mqd.metadata.machine import State, apply

OTHER = "rabbit_password_hashing_sha512"
ALL = {"configure": ".*", "write": ".*", "read": ".*"}


class There:
    """What there is: topology of a state, and a transient exchange and queue "t" in "/"."""

    def __init__(self, state: State) -> None:
        self._state = state

    def exchange(self, vhost: str, name: str) -> ExchangeDefinition | None:
        if (vhost, name) == ("/", "t"):
            return ExchangeDefinition("/", "t", durable=False)
        return self._state.exchanges.get((vhost, name))

    def queue(self, vhost: str, name: str) -> QueueDefinition | None:
        if (vhost, name) == ("/", "t"):
            return QueueDefinition(-1, "/", "t", durable=False)
        return self._state.queues.get((vhost, name))

    def is_bound(self, binding: BindingDefinition) -> bool:
        return binding in self._state.bindings.values()

    def queue_count(self, vhost: str) -> int:
        return sum(place == vhost for place, _ in self._state.queues)

    def has_exchange_of(self, type_name: str) -> bool:
        return False


@pytest.fixture
def state() -> State:
    state = State()
    for command in (
        c.PutVhost(VhostRecord("/", "Default virtual host")),
        c.PutUser(User("guest", b"hash", tags=("administrator",))),
        c.PutPermission("guest", "/", Permission(".*", ".*", ".*")),
        c.PutQueue(QueueDefinition(7, "/", "old", arguments={"x-max-length": ("long", 1)})),
        c.PutBinding(BindingDefinition("/", "amq.topic", "queue", "old", "k")),
    ):
        apply(state, command)
    return state


Make = Callable[..., Plan]


@pytest.fixture
def make(state: State) -> Make:
    def make(**document: Any) -> Plan:
        ids, transient = itertools.count(100), itertools.count(-2, -1)
        tools = Tools(
            BUILT_IN, ids.__next__, transient.__next__, lambda password: b"+" + password.encode()
        )
        return plan(document, state, There(state), tools)

    return make


def queue(name: str = "q", vhost: str = "/", **more: Any) -> dict[str, Any]:
    return {"name": name, "vhost": vhost, "durable": True, "auto_delete": False} | more


def exchange(name: str = "x", vhost: str = "/", **more: Any) -> dict[str, Any]:
    return queue(name, vhost, type="direct", internal=False, arguments={}) | more


def bound(source: str, destination: str, key: str = "", **more: Any) -> dict[str, Any]:
    return {
        "source": source,
        "vhost": "/",
        "destination": destination,
        "destination_type": "queue",
        "routing_key": key,
        "arguments": {},
    } | more


# -- what is added ---------------------------------------------------------------------------------


def test_everything_in_rabbitmqs_order_whatever_the_files(make: Make) -> None:
    made = make(
        rabbit_version="4.0.2",
        something_new=17,
        bindings=[bound("x", "q", "k", vhost="v")],
        exchanges=[exchange(vhost="v", type="topic")],
        queues=[queue(vhost="v", type="classic", arguments={"x-expires": 5})],
        policies=[{"vhost": "v", "name": "p", "pattern": "^q", "definition": {"max-length": 3}}],
        global_parameters=[{"name": "g", "value": {"a": [1, None]}}],
        parameters=[
            {
                "vhost": "v",
                "component": "vhost-limits",
                "name": "limits",
                "value": {"max-queues": 9},
            }
        ],
        topic_permissions=[{"user": "u", "vhost": "v", "exchange": "x", "write": "w", "read": "r"}],
        permissions=[{"user": "u", "vhost": "v", **ALL}],
        users=[
            {
                "name": "u",
                "password_hash": "aGFzaA==",
                "hashing_algorithm": OTHER,
                "tags": "a, b",
                "limits": {"max-channels": 2},
            }
        ],
        vhosts=[{"name": "v", "metadata": {"description": "d", "tags": ["t"]}}],
    )
    assert made.commands == [
        c.PutVhost(VhostRecord("v", "d", ("t",))),
        c.PutUser(User("u", b"hash", OTHER, ("a", "b"), {"max-channels": 2})),
        c.PutPermission("u", "v", Permission(".*", ".*", ".*")),
        c.PutTopicPermission("u", "v", "x", TopicPermission("w", "r")),
        c.PutParameter("v", "vhost-limits", "limits", {"max-queues": 9}),
        c.PutGlobalParameter("g", {"a": [1, None]}),
        c.PutParameter(
            "v",
            "policy",
            "p",
            {"pattern": "^q", "apply-to": "all", "definition": {"max-length": 3}, "priority": 0},
        ),
        c.PutQueue(QueueDefinition(100, "v", "q", arguments={"x-expires": ("long", 5)})),
        c.PutExchange(ExchangeDefinition("v", "x", "topic")),
        c.PutBinding(BindingDefinition("v", "x", "queue", "q", "k")),
    ]
    assert (made.transient, made.left_out) == ([], [])


def test_what_is_there_already_is_not_written_again(make: Make, state: State) -> None:
    document = {
        "vhosts": [{"name": "/", "metadata": {"description": "Default virtual host", "tags": []}}],
        "users": [{"name": "guest", "password_hash": "aGFzaA==", "tags": "administrator"}],
        "permissions": [{"user": "guest", "vhost": "/", **ALL}],
        "queues": [queue("old"), queue("t", durable=False)],  # whatever their arguments
        "exchanges": [exchange("amq.topic", type="direct"), exchange(""), exchange("t")],
        "bindings": [bound("amq.topic", "old", "k"), bound("", "old", "old")],
        "policies": [],
    }
    assert make(**document) == Plan()


def test_twice_in_a_file_is_once(make: Make) -> None:
    made = make(
        queues=[queue(), queue(arguments={"x-max-length": 3})],
        exchanges=[exchange(), exchange(type="topic")],
        bindings=[bound("x", "q")] * 2,
    )
    assert [type(each).__name__ for each in made.commands] == [
        "PutQueue",
        "PutExchange",
        "PutBinding",
    ]


def test_what_ends_with_the_node_is_apart(make: Make) -> None:
    made = make(
        queues=[queue("q", durable=False, auto_delete=True), queue("d")],
        exchanges=[exchange("x", durable=False), exchange("dx")],
        bindings=[bound("x", "d"), bound("dx", "q"), bound("dx", "d"), bound("t", "t")],
    )
    assert [each.queue for each in made.transient if isinstance(each, c.PutQueue)] == [
        QueueDefinition(-2, "/", "q", durable=False, auto_delete=True)
    ]
    ends = [
        (each.binding.source, each.binding.destination)
        for each in made.transient
        if isinstance(each, c.PutBinding)
    ]
    assert ends == [("x", "d"), ("dx", "q"), ("t", "t")]
    assert len(made.commands) == 3


def test_bindings_to_nowhere_are_left_out_and_told_of(make: Make) -> None:
    made = make(
        bindings=[
            bound("amq.topic", "exclusive"),
            bound("nosuch", "old"),
            bound("amq.topic", "internal", destination_type="exchange"),
            bound("amq.topic", "old", vhost="nosuch"),
        ]
    )
    assert made.commands == []
    assert made.left_out[0] == (
        "binding from exchange 'amq.topic' to queue 'exclusive' in vhost '/': "
        "there is no queue 'exclusive'"
    )
    assert len(made.left_out) == 4


def test_bindings_that_a_client_could_not_make_are_left_out(make: Make) -> None:
    wrong = bound("amq.headers", "old", arguments={"x-match": "bogus"})
    right = bound("amq.headers", "old", arguments={"x-match": "any"})
    made = make(bindings=[wrong, right])
    assert len(made.commands) == 1
    assert made.left_out[0].startswith(
        "binding from exchange 'amq.headers' to queue 'old' in vhost '/': Invalid x-match"
    )


def test_names_that_begin_with_amq_are_passed_over(make: Make) -> None:
    assert make(queues=[queue("amq.q")], exchanges=[exchange("amq.x")]) == Plan()


def test_a_new_vhost_has_its_exchanges(make: Make) -> None:
    made = make(
        vhosts=[{"name": "v"}],
        queues=[queue(vhost="v")],
        bindings=[bound("amq.topic", "q", vhost="v")],
    )
    assert len(made.commands) == 3


@pytest.mark.parametrize(
    ("item", "record"),
    [
        ({"description": "d", "tags": ["t"]}, VhostRecord("v", "d", ("t",))),  # 3.11 and later
        ({"metadata": {"tags": "a,b"}}, VhostRecord("v", "", ("a", "b"), tags_text="a,b")),
        ({"metadata": {"tags": ""}}, VhostRecord("v", tags_text="")),
        ({"default_queue_type": "undefined"}, VhostRecord("v")),
        ({"default_queue_type": "quorum"}, VhostRecord("v", default_queue_type="quorum")),
        ({"metadata": {"default_queue_type": "stream"}}, VhostRecord("v", "", (), "stream")),
        ({"limits": [["max-queues", 3]], "protected_from_deletion": True}, VhostRecord("v")),
    ],
)
def test_vhosts(make: Make, item: dict[str, Any], record: VhostRecord) -> None:
    assert make(vhosts=[{"name": "v", **item}]).commands == [c.PutVhost(record)]


def test_a_vhost_keeps_what_the_file_does_not_say(make: Make) -> None:
    changed = VhostRecord("/", "Default virtual host", ("n",))
    assert make(vhosts=[{"name": "/", "tags": ["n"]}]).commands == [c.PutVhost(changed)]


@pytest.mark.parametrize(
    ("item", "user"),
    [
        ({"password": "pw"}, User("u", b"+pw")),
        ({"password_hash": ""}, User("u")),
        ({}, User("u")),  # nobody knows what password 3.10.8 makes up
        ({"password_hash": "aGFzaA==", "limits": {}}, User("u", b"hash")),
    ],
)
def test_passwords(make: Make, item: dict[str, Any], user: User) -> None:
    assert make(users=[{"name": "u", "tags": [], **item}]).commands == [c.PutUser(user)]


@pytest.mark.parametrize(
    ("version", "algorithm"),
    [
        ("3.5.7", "rabbit_password_hashing_md5"),
        ("3.6.0", "rabbit_password_hashing_sha256"),
        ("what", "rabbit_password_hashing_sha256"),
    ],
)
def test_hashes_without_a_name_go_by_the_version(make: Make, version: str, algorithm: str) -> None:
    made = make(
        rabbit_version=version, users=[{"name": "u", "password_hash": "aGFzaA==", "tags": ""}]
    )
    assert made.commands == [c.PutUser(User("u", b"hash", algorithm))]


def test_a_type_alone_is_the_type(make: Make) -> None:
    made = make(queues=[queue(type="quorum")])
    arguments = {"x-queue-type": ("longstr", b"quorum")}
    assert made.commands == [
        c.PutQueue(QueueDefinition(100, "/", "q", arguments=arguments, type="quorum"))
    ]


@pytest.mark.parametrize(
    ("definition", "mark"),
    [({"max-length": 3}, {"definition-as-object": True}), ([["max-length", 3]], {})],
)
def test_operator_policies_in_both_shapes(
    make: Make, definition: Any, mark: dict[str, bool]
) -> None:
    value = {"pattern": "x", "definition": definition, "priority": 1, "apply-to": "queues"}
    made = make(
        parameters=[{"vhost": "/", "component": "operator_policy", "name": "o", "value": value}]
    )
    assert made.commands == [
        c.PutParameter(
            "/", "operator_policy", "o", value | {"definition": {"max-length": 3}} | mark
        )
    ]


@pytest.mark.parametrize("apply_to", ["classic_queues", "quorum_queues", "streams"])
def test_policies_of_later_versions_are_taken(make: Make, apply_to: str) -> None:
    policy = {"pattern": "x", "definition": {"expires": 9}, "priority": 1, "apply-to": apply_to}
    made = make(policies=[{"vhost": "/", "name": "p", **policy}])
    assert made.commands == [c.PutParameter("/", "policy", "p", policy)]


def test_objects_are_counted() -> None:
    assert object_count({"users": [1, 2], "queues": [3], "else": [4], "bindings": "x"}) == 3
    assert object_count([]) == 0


# -- what is wrong ---------------------------------------------------------------------------------

OBJECT = "a file of definitions must be an object, but this is a list"
POLICY = {"vhost": "/", "name": "p", "pattern": "x", "definition": {"max-length": 1}}
NOT_VALID = "Validation failed\n\n"


def test_no_object(make: Make, state: State) -> None:
    with pytest.raises(Refused) as caught:
        plan([], state, There(state), Tools(BUILT_IN, int, int, str.encode))
    assert caught.value.faults == (Fault("the file", OBJECT, code=ErrorCode.INTERNAL),)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"vhosts": {}}, "vhosts: must be a list, but is an object"),
        ({"vhosts": None}, "vhosts: must be a list, but is null"),
        ({"vhosts": [1]}, "vhosts[0]: must be an object, but is a number"),
        ({"vhosts": [{}]}, "vhosts[0] '': name is missing"),
        ({"vhosts": [{"name": 1}]}, "vhosts[0] '1': name must be a text, but is a number"),
        (
            {"vhosts": [{"name": "v", "default_queue_type": "x"}]},
            "vhosts[0] 'v': default_queue_type must be one of classic, quorum, stream",
        ),
        (
            {"vhosts": [{"name": "v", "default_queue_type": []}]},
            "vhosts[0] 'v': default_queue_type must be one of classic, quorum, stream",
        ),
        (
            {"vhosts": [{"name": "v", "tags": [1]}]},
            "vhosts[0] 'v': tags must be texts, but one is a number",
        ),
        ({"users": [{"name": "u"}]}, "users[0] 'u': tags are missing"),
        (
            {"users": [{"name": "u", "tags": None}]},
            "users[0] 'u': tags must be a list or a text, but are null",
        ),
        (
            {"users": [{"name": "u", "tags": "", "password": "p", "password_hash": ""}]},
            "users[0] 'u': has a password and a password_hash: leave one out",
        ),
        (
            {"users": [{"name": "u", "tags": "", "password_hash": "!!"}]},
            "users[0] 'u': password_hash must be base64",
        ),
        (
            {"users": [{"name": "u", "tags": "", "hashing_algorithm": "sha1"}]},
            "users[0] 'u': unknown hashing_algorithm 'sha1': there are "
            "rabbit_password_hashing_sha256, rabbit_password_hashing_sha512, "
            "rabbit_password_hashing_md5",
        ),
        (
            {"users": [{"name": "u", "tags": "", "limits": {"max-channels": "x"}}]},
            "users[0] 'u': max-channels should be a number, actually was <<\"x\">>",
        ),
        (
            {"permissions": [{"user": "u", "vhost": "/", **ALL}]},
            "permissions[0] of user 'u' in vhost '/': user 'u' does not exist, and the file does "
            "not add it",
        ),
        (
            {"permissions": [{"user": "guest", "vhost": "/", **ALL, "write": "*"}]},
            "permissions[0] of user 'guest' in vhost '/': write must be a regular expression, but "
            "nothing to repeat at offset 0",
        ),
        (
            {"topic_permissions": [{"user": "guest", "vhost": "/", "exchange": "x", "write": ""}]},
            "topic_permissions[0] of user 'guest' on exchange 'x' in vhost '/': read is missing",
        ),
        (
            {"parameters": [{"vhost": "/", "component": "nope", "name": "n", "value": 1}]},
            "parameters[0] 'nope' 'n' in vhost '/': component nope not found",
        ),
        ({"global_parameters": [{"name": "g"}]}, "global_parameters[0] 'g': value is missing"),
        (
            {"policies": [POLICY | {"pattern": None, "priority": "1"}]},
            "policies[0] 'p' in vhost '/': pattern should be a binary but was undefined; "
            'priority should be a number, actually was <<"1">>',
        ),
        (
            {"queues": [queue(vhost="v")]},
            "queues[0] 'q' in vhost 'v': virtual host 'v' does not exist, and the file does not "
            "add it",
        ),
        (
            {"queues": [{"name": "q", "vhost": "/"}]},
            "queues[0] 'q' in vhost '/': durable is missing",
        ),
        ({"queues": [queue("x" * 256)]}, f"queues[0] '{'x' * 77}...' in vhost '/': "),
        ({"queues": [queue(type="x")]}, "type 'x' is none of classic, quorum, stream"),
        ({"queues": [queue(arguments={"x": None})]}, "argument 'x' is null"),
        (
            {"queues": [queue("a"), queue("b", arguments={"x-max-length": -1})]},
            "queues[1] 'b' in vhost '/': invalid arg 'x-max-length' for queue 'b' in vhost '/': "
            "{value_negative,-1}",
        ),
        ({"queues": [queue(type="quorum", durable=False)]}, "invalid property 'non-durable'"),
        (
            {
                "queues": [queue("a"), queue("b")],
                "parameters": [
                    {
                        "vhost": "/",
                        "component": "vhost-limits",
                        "name": "limits",
                        "value": {"max-queues": 2},
                    }
                ],
            },
            "queues[1] 'b' in vhost '/': cannot declare queue 'b': queue limit in vhost '/' (2) is "
            "reached",
        ),
        (
            {"exchanges": [exchange(type="x-nope")]},
            "exchanges[0] 'x' in vhost '/': unknown exchange type 'x-nope'",
        ),
        ({"exchanges": [exchange(arguments={"alternate-exchange": 1})]}, "invalid type 'long'"),
        (
            {"bindings": [bound("x", "q", destination_type="moon")]},
            "bindings[0] from 'x' to moon 'q' in vhost '/': destination_type must be queue or "
            "exchange, but is 'moon'",
        ),
        (
            {"bindings": [bound("x", "q", arguments="x")]},
            "arguments must be an object, but is a text",
        ),
    ],
)
def test_it_is_named(make: Make, document: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused) as caught:
        make(**document)
    assert text in str(caught.value)
    if "[" in text:
        assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("document", "recorded", "code"),
    [
        (
            {"queues": [queue(vhost="v")]},
            "Virtual host 'v' does not exist",
            ErrorCode.NO_SUCH_VHOST,
        ),
        (
            {"permissions": [{"user": "u", "vhost": "/", **ALL}]},
            '{:no_such_user, "u"}',
            ErrorCode.NO_SUCH_USER,
        ),
        (
            {"policies": [POLICY | {"definition": {"max-length": "x"}}]},
            f'{NOT_VALID}&lt;&lt;"x"&gt;&gt; is not a valid maximum length\n (//p)',
            ErrorCode.INVALID_ARGUMENT,
        ),
        (
            {"parameters": [{"vhost": "/", "component": "nope", "name": "n", "value": {}}]},
            f"{NOT_VALID}component nope not found\n (//nope/n)",
            ErrorCode.INVALID_ARGUMENT,
        ),
        (
            {
                "parameters": [
                    {
                        "vhost": "/",
                        "component": "operator_policy",
                        "name": "n",
                        "value": {"pattern": ".*", "definition": {"max-length": "x"}},
                    }
                ]
            },
            f'{NOT_VALID}&lt;&lt;"x"&gt;&gt; is not a valid maximum length\n'
            'Key "priority" not found in n\n (//operator_policy/n)',
            ErrorCode.INVALID_ARGUMENT,
        ),
        (
            {"parameters": [{"vhost": "/", "component": "policy", "name": "n", "value": {}}]},
            "policies may not be set using this method (//policy/n)",
            ErrorCode.INVALID_ARGUMENT,
        ),
        (
            {
                "parameters": [
                    {"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"x": 1}}
                ]
            },
            f'{NOT_VALID}Unrecognised terms [{{&lt;&lt;"x"&gt;&gt;,1}}] in limits\n'
            " (//vhost-limits/limits)",
            ErrorCode.INVALID_ARGUMENT,
        ),
    ],
)
def test_what_3_10_8_says(
    make: Make, document: dict[str, Any], recorded: str, code: ErrorCode
) -> None:
    with pytest.raises(Refused) as caught:
        make(**document)
    (fault,) = caught.value.faults
    assert (fault.recorded, fault.code) == (recorded, code)


def test_all_that_is_wrong_is_told_at_once_up_to_a_bound(make: Make) -> None:
    with pytest.raises(Refused) as caught:
        make(vhosts=[1], queues=[queue(vhost="a"), queue(), queue(vhost="b")])
    assert [fault.at for fault in caught.value.faults] == [
        ("vhosts", 0),
        ("queues", 0),
        ("queues", 2),
    ]
    assert not caught.value.more
    with pytest.raises(Refused) as caught:
        make(queues=[1] * 1000)
    assert len(caught.value.faults) == FAULTS_MAX
    assert caught.value.more
