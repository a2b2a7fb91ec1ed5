"""`mqd.transport.dispatch`: each method has its answer, or none where the client wants none."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp import commands

from mqd.amqp.codec import AccessRequest, encode_method
from mqd.amqp.states import ANSWERS_TO_CLIENT
from mqd.transport import dispatch
from tests.harness import Basic, Channel, Client, Confirm, Exchange, Queue, Tx, World


@pytest.fixture
def client() -> Client:
    client = World().connect()
    client.declare("q")
    client.call(Exchange.Declare(0, "x", "fanout"))
    return client


ANSWERED = [
    Basic.Qos(0, 5),
    Basic.Consume(0, "q", "c"),
    Basic.Cancel("c"),
    Basic.Recover(True),
    Confirm.Select(),
    Exchange.Declare(0, "y"),
    Exchange.Declare(0, "x", passive=True),
    Exchange.Bind(0, "x", "amq.direct", "k"),
    Exchange.Unbind(0, "x", "amq.direct", "k"),
    Exchange.Delete(0, "x"),
    Queue.Declare(0, "r"),
    Queue.Declare(0, "q", passive=True),
    Queue.Bind(0, "q", "x", "k"),
    Queue.Unbind(0, "q", "x", "k"),
    Queue.Purge(0, "q"),
    Queue.Delete(0, "q"),
    Tx.Select(),
    Channel.Flow(True),
]


@pytest.mark.parametrize("method", ANSWERED, ids=lambda method: method.name)
def test_answers(method: Any, client: Client) -> None:
    client.send(method)
    assert [got.name for got in client.take()] == [f"{method.name}Ok"]


@pytest.mark.parametrize("method", ANSWERED, ids=lambda method: method.name)
def test_no_answer_where_none_is_wanted(method: Any, client: Client) -> None:
    if "nowait" not in type(method).attributes():
        return
    method.nowait = True
    client.send(method)
    method.nowait = False
    assert client.said() == []
    client.send(Basic.Qos(0, 1))
    assert client.said() == ["Basic.QosOk"]


def test_transactions(client: Client) -> None:
    for method in (Tx.Select(), Tx.Commit(), Tx.Rollback()):
        client.call(method)


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (Basic.Qos(10, 5), "NOT_IMPLEMENTED - prefetch_size!=0 (10)"),
        (Channel.Flow(False), "NOT_IMPLEMENTED - active=false"),
        (Basic.Recover(False), "NOT_IMPLEMENTED - requeue=false"),
        (Exchange.Declare(0, "y", "odd"), "COMMAND_INVALID - unknown exchange type 'odd'"),
    ],
)
def test_refused_with_the_connection(method: Any, text: str, client: Client) -> None:
    client.send(method)
    assert client.said() == [f"connection.close {text}"]


def test_answers_of_the_client_are_taken_in_silence(client: Client) -> None:
    client.send(Basic.Ack(0, True), Basic.Nack(0, True))
    assert client.said() == []


def test_access_request(client: Client) -> None:
    request: Any = AccessRequest.__new__(AccessRequest)
    request.realm = "/data"
    request.exclusive = request.passive = request.active = request.write = request.read = False
    client.feed(encode_method(1, request))
    assert client.raw_output() == b"\x01\0\x01\0\0\0\x06\0\x1e\0\x0b\0\x01\xce"


def test_the_table_knows_every_method_of_a_client() -> None:
    """But those of the connection, and the channel's own open and close, which are amqp's."""
    catalogue: dict[int, Any] = commands.INDEX_MAPPING
    elsewhere = {"Basic.Publish", "Channel.Open", "Channel.Close", "Channel.CloseOk"}
    wanted = {
        method.name
        for index, method in catalogue.items()
        if index >> 16 != 10 and index not in ANSWERS_TO_CLIENT
    }
    known = {method.name for method in dispatch._STEPS}  # type: ignore[attr-defined]
    assert wanted - elsewhere <= known


def test_names_past_the_patterns_of_the_xml(client: Client) -> None:
    name = "ünusual | name"
    client.send_loose(Queue.Declare(0, arguments={}), queue=name)
    assert client.said() == [f"declare-ok {name} 0 0"]
    key = "kéy"
    client.publish(key, "m", exchange="x")
    client.send_loose(Queue.Bind(0, "q", "x", arguments={}), queue=name, routing_key=key)
    assert [got.name for got in client.take()] == ["Queue.BindOk"]
    client.publish(key, "m", exchange="x")
    client.send_loose(Basic.Get(0), queue=name)
    (got,) = client.take()
    assert got.method.routing_key == key
    client.send_loose(Basic.Consume(0, arguments={}), queue=name, consumer_tag="tág")
    assert client.take()[0].method.consumer_tag == "tág"
