"""Delayed messages against a naive model: each comes once, not before its time, in order of time
then of arrival, whatever the bound of memory and whenever the store commits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mqd.broker.delays import QUEUE_ID
from mqd.broker.settings import Settings
from tests.harness import Exchange, World

steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 400), st.integers(1, 40)),
        st.tuples(st.just("tick"), st.integers(0, 200), st.just(0)),
        st.tuples(st.just("commit"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(steps, st.integers(1, 50), st.booleans())
def test_as_a_sorted_list(program: list[tuple[str, int, int]], memory: int, durable: bool) -> None:
    world = World(Settings(queue_memory_messages_max=memory), commit_at_once=False)
    client = world.connect()
    client.call(
        Exchange.Declare(
            0, "x", "x-delayed-message", durable=durable, arguments={"x-delayed-type": "fanout"}
        )
    )
    client.declare("q")
    client.bind("q", "x")
    client.consume("q", no_ack=True)
    waiting: list[tuple[int, int]] = []
    count = 0
    for verb, number, repeat in (*program, ("tick", 500, 0), ("commit", 0, 0)):
        wanted = []
        if verb == "publish":
            for _ in range(repeat):
                client.publish("k", str(count), exchange="x", headers={"x-delay": number})
                if number:
                    waiting.append((world.clock.now_ms + number, count))
                else:
                    wanted.append(count)
                count += 1
        elif verb == "tick":
            world.tick(number)
            due = sorted(each for each in waiting if each[0] <= world.clock.now_ms)
            waiting = [each for each in waiting if each not in due]
            wanted = [body for _, body in due]
        else:
            world.commit()
        assert client.bodies() == list(map(str, wanted))
        assert len(world.vhost.delays) == len(waiting)
    assert not waiting
    assert not world.spool.pages
    assert not world.store.kept.get(QUEUE_ID)
