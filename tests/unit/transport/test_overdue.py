"""Deliveries that nobody acknowledges in time (consumer_timeout)."""

from __future__ import annotations

from mqd.broker.settings import Settings
from tests.harness import Client, World

TEXT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: "
    "4000 ms. This timeout value can be configured, see consumers doc guide to learn more"
)


class Clocked:
    """A world whose listener looks at the time when told."""

    def __init__(self, timeout_ms: int) -> None:
        self.world = World(Settings(consumer_timeout_ms=timeout_ms))
        self.client: Client = self.world.connect(channels=2)
        self.client.declare("q")

    def pass_ms(self, ms: int) -> None:
        listener, world = self.world.listener, self.world
        world.clock.advance(ms)
        found = listener._overdue.find(world.broker.connections.values(), world.clock.now_ms)
        for entry, channel, tag in found:
            entry.peer.time_out(channel.number, tag)
        world.end_turns()


def test_a_channel_that_does_not_acknowledge_is_closed() -> None:
    stage = Clocked(4000)
    stage.client.consume("q")
    stage.client.publish("q", "m")
    stage.client.take()
    stage.pass_ms(1000)
    stage.pass_ms(4000)
    assert stage.client.take() == []
    stage.pass_ms(1000)
    (got,) = stage.client.take()
    assert got.method.reply_text == TEXT
    assert (got.name, got.method.reply_code) == ("Channel.Close", 406)
    assert stage.world.queue().ready_count == 1


def test_other_channels_of_the_connection_go_on() -> None:
    stage = Clocked(4000)
    stage.client.consume("q")
    stage.client.publish("q", "m")
    for _ in range(7):
        stage.pass_ms(1000)
    assert [got.channel for got in stage.client.take()][-1] == 1
    assert stage.client.declare("q", channel=2).queue == "q"


def test_acknowledging_in_order_starts_the_time_anew() -> None:
    stage = Clocked(4000)
    stage.client.consume("q")
    for body in "abc":
        stage.client.publish("q", body)
    stage.client.take()
    for tag in (1, 2, 3):
        stage.pass_ms(3000)
        stage.client.ack(tag)
    stage.pass_ms(10_000)
    assert stage.client.take() == []


def test_no_timeout_means_none() -> None:
    stage = Clocked(0)
    stage.client.consume("q")
    stage.client.publish("q", "m")
    stage.client.take()
    stage.pass_ms(1 << 40)
    assert stage.client.take() == []


def test_connections_beyond_the_limit_are_refused() -> None:
    world = World(Settings(connection_max=1))
    first = world.connect()
    try:
        world.connect()
    except AssertionError as error:
        assert "Connection.Close" in str(error)  # noqa: PT017
    else:
        raise AssertionError("a second connection was let in")
    first.drop()
    world.connect()
