"""mqd.definitions.export and text: shapes as 3.10.8 has them."""

from __future__ import annotations

from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.definitions.export import Topology, export
from mqd.definitions.text import to_json
from mqd.metadata import commands as c
from mqd.metadata.commands import VhostRecord
from mqd.metadata.machine import State, apply


def state_of(*commands: c.Command) -> State:
    state = State()
    for command in commands:
        apply(state, command)
    return state


def test_nothing() -> None:
    assert to_json(export(State(), Topology(), "3.10.8")) == (
        '{"bindings":[],"exchanges":[],"global_parameters":[],"parameters":[],"permissions":[],'
        '"policies":[],"queues":[],"rabbit_version":"3.10.8","rabbitmq_version":"3.10.8",'
        '"topic_permissions":[],"users":[],"vhosts":[]}'
    )


def test_everything() -> None:
    policy = {"pattern": "^p", "apply-to": "queues", "definition": {"expires": 1}, "priority": 5}
    state = state_of(
        c.PutVhost(VhostRecord("v", "d", ("x", "y"), "quorum")),
        c.PutVhost(VhostRecord("b", tags_text="a,b")),
        c.PutUser(User("u", b"hash", tags=("a",), limits={"max-channels": 9})),
        c.PutPermission("u", "v", Permission("^c", "^w", "^r")),
        c.PutTopicPermission("u", "v", "x", TopicPermission("w", "r")),
        c.PutParameter("v", "policy", "pol", policy),
        c.PutParameter("v", "operator_policy", "o", policy),
        c.PutParameter("v", "vhost-limits", "limits", {"max-queues": 5, "max-connections": 7}),
        c.PutGlobalParameter("g", {"b": {"c": None}, "a": 1.5}),
        c.PutGlobalParameter("internal_cluster_id", "secret"),
    )
    topology = Topology(
        [
            ExchangeDefinition("v", ""),
            ExchangeDefinition("v", "amq.topic", "topic"),
            ExchangeDefinition("v", "hidden", internal=True),
            ExchangeDefinition("v", "x", "topic", durable=False),
        ],
        [
            QueueDefinition(1, "v", "é", type="quorum", arguments={"n": ("void", None)}),
            QueueDefinition(-1, "v", "own", exclusive=True, durable=False),
        ],
        [
            BindingDefinition("v", "x", "queue", "own", "k"),
            BindingDefinition("v", "a", "exchange", "x", ""),
        ],
    )
    assert to_json(export(state, topology, "3.10.8")) == (
        '{"bindings":['
        '{"arguments":{},"destination":"x","destination_type":"exchange","routing_key":"",'
        '"source":"a","vhost":"v"},'
        '{"arguments":{},"destination":"own","destination_type":"queue","routing_key":"k",'
        '"source":"x","vhost":"v"}],'
        '"exchanges":[{"arguments":{},"auto_delete":false,"durable":false,"name":"x",'
        '"type":"topic","vhost":"v"}],'
        '"global_parameters":[{"name":"g","value":[["a",1.5],["b",{"c":"null"}]]}],'
        '"parameters":[{"component":"operator_policy","name":"o","value":{"apply-to":"queues",'
        '"definition":[["expires",1]],"pattern":"^p","priority":5},"vhost":"v"},'
        '{"component":"vhost-limits","name":"limits","value":{"max-connections":7,"max-queues":5},'
        '"vhost":"v"}],'
        '"permissions":[{"configure":"^c","read":"^r","user":"u","vhost":"v","write":"^w"}],'
        '"policies":[{"apply-to":"queues","definition":{"expires":1},"name":"pol","pattern":"^p",'
        '"priority":5,"vhost":"v"}],'
        '"queues":[{"arguments":{"n":"undefined"},"auto_delete":false,"durable":true,"name":"é",'
        '"type":"quorum","vhost":"v"}],'
        '"rabbit_version":"3.10.8","rabbitmq_version":"3.10.8",'
        '"topic_permissions":[{"exchange":"x","read":"r","user":"u","vhost":"v","write":"w"}],'
        '"users":[{"hashing_algorithm":"rabbit_password_hashing_sha256",'
        '"limits":{"max-channels":9},"name":"u","password_hash":"aGFzaA==","tags":["a"]}],'
        '"vhosts":[{"limits":[],"metadata":{"description":"","tags":"a,b"},"name":"b"},'
        '{"limits":[["max-connections",7],["max-queues",5]],"metadata":{"default_queue_type":'
        '"quorum","description":"d","tags":["x","y"]},"name":"v"}]}'
    )


def test_texts_are_written_as_they_are() -> None:
    assert to_json(['é"\\\n/\x7f\x01', 1e20, -0.5, True, 2**70]) == (
        '["é\\"\\\\\\n/\x7f\\u0001",1.0e20,-0.5,true,1180591620717411303424]'
    )


def test_an_operator_policy_that_came_as_an_object_leaves_as_one() -> None:
    value = {"pattern": "x", "apply-to": "all", "definition": {"expires": 1}, "priority": 0}
    state = state_of(
        c.PutVhost(VhostRecord("v")),
        c.PutParameter("v", "operator_policy", "o", value | {"definition-as-object": True}),
    )
    exported = export(state, Topology(), "3.10.8")["parameters"]
    assert to_json(exported) == (
        '[{"component":"operator_policy","name":"o","value":{"apply-to":"all","definition":'
        '{"expires":1},"pattern":"x","priority":0},"vhost":"v"}]'
    )
