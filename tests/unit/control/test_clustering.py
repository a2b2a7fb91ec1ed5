"""mqd.control.clustering: which port, and what is said when it cannot be had."""

from __future__ import annotations

import socket

import pytest

from mqd.config.parse import ConfigError
from mqd.config.variables import Variable
from mqd.control.clustering import Clustering, clustering
from mqd.errors import MqdError


def given(value: str, name: str = "RABBITMQ_DIST_PORT") -> Variable:
    return Variable(value, name)


@pytest.mark.parametrize(
    ("port", "amqp", "interface", "found"),
    [
        (None, None, None, Clustering("[::]", 25672)),
        (None, given("5673"), None, Clustering("[::]", 25673)),
        (given("7000"), given("60000"), None, Clustering("[::]", 7000)),
        (given("7000"), None, "127.0.0.1", Clustering("127.0.0.1", 7000)),
        (given("7000"), None, "::1", Clustering("[::1]", 7000)),
        (given("7000"), None, "[fe80::1]", Clustering("[fe80::1]", 7000)),
    ],
)
def test_where_it_is(
    port: Variable | None, amqp: Variable | None, interface: str | None, found: Clustering
) -> None:
    assert clustering(port, amqp, interface) == found


@pytest.mark.parametrize("value", ["0", "-1", "65536", "x", "٣"])
def test_a_port_that_is_none(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        clustering(given(value), None, None)
    assert "RABBITMQ_DIST_PORT" in caught.value.problems[0]


def test_an_amqp_port_that_leaves_no_room_above() -> None:
    with pytest.raises(ConfigError) as caught:
        clustering(None, given("45536", "MQD_NODE_PORT"), None)
    assert "MQD_NODE_PORT: '45536'" in caught.value.problems[0]
    assert "set RABBITMQ_DIST_PORT" in caught.value.problems[0]


@pytest.mark.parametrize("interface", ["[::]", "127.0.0.1"])
def test_a_port_in_use_is_named_with_the_remedy(interface: str) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        place = Clustering(interface, other.getsockname()[1])
        place.check_free()  # bound is not in use yet
        other.listen()
        with pytest.raises(MqdError, match=f"{place.port}: Address already in use; set RABBITMQ_D"):
            place.check_free()


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(MqdError, match=r"distribution\.listener\.interface"):
        Clustering("192.0.2.1", 7000).check_free()


def test_how_it_is_shown() -> None:
    info = Clustering("[::]", 25672).info
    assert (info.interface, info.port, info.protocol) == ("[::]", 25672, "clustering")
    assert info.purpose == "inter-node and CLI tool communication"
