"""Three real members: the one that writes a quorum queue stands still while another takes over."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.cluster.chaos.actors import Hardship, Wire, connect
from tests.cluster.trio import Member, Trio
from tests.fault.crash_link import FRAME_MAX, Heard
from tests.protocol import wire
from tests.waiting import PATIENCE_S, eventually

QUEUE = "sq"


async def link_to(member: Member) -> Wire:
    """With channel 1 for publishes that are confirmed, 2 for questions."""
    link = await connect(member)
    link.unasked[0] = lambda _: None
    for channel in (1, 2):
        await link.open(channel)
    await link.call(1, "confirm.select")
    return link


async def publish(link: Wire, body: bytes) -> None:
    """Returns once it is confirmed."""
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    link.unasked[1] = heard.put_nowait
    method = wire.method_payload("basic.publish", {"routing_key": QUEUE, "mandatory": True})
    header = wire.header_payload(len(body), {"delivery_mode": 2})
    link.write(
        wire.frame(wire.FRAME_METHOD, 1, method)
        + wire.frame(wire.FRAME_HEADER, 1, header)
        + wire.body_frames(1, body, FRAME_MAX)
    )
    async with asyncio.timeout(PATIENCE_S):
        assert (await heard.get()).name == "basic.ack"


async def ask(link: Wire, name: str, **values: object) -> Heard:
    async with asyncio.timeout(PATIENCE_S):
        return await link.call(2, name, queue=QUEUE, **values)


def writer(trio: Trio) -> Member:
    """Once there is one, and all have a copy."""
    by_name = {one.name: one for one in trio}
    found: list[Member] = []

    def is_known() -> bool:
        told = trio.members[0].ctl("-q", "list_queues", "leader", "members", "--formatter=json")
        found[:] = [
            by_name[row["leader"]]
            for row in json.loads(told)
            if row["leader"] in by_name and len(row["members"]) == len(by_name)
        ]
        return bool(found)

    eventually(is_known)
    return found[0]


async def story(trio: Trio) -> None:
    await asyncio.to_thread(trio.start)
    await asyncio.to_thread(trio.await_whole)
    link = await link_to(trio.members[0])
    arguments = {"x-queue-type": ("S", "quorum")}
    await ask(link, "queue.declare", durable=True, arguments=arguments)
    link.abort()
    for number in range(4):
        old = await asyncio.to_thread(writer, trio)
        other = next(one for one in trio if one is not old)
        there, here = await link_to(other), await link_to(old)
        body = b"%d" % number
        old.pause(child_too=number % 2 == 0)
        try:
            await publish(there, body)  # another has taken over
            if number == 2:
                asking = asyncio.ensure_future(ask(here, "queue.declare", passive=True))
            elif number == 3:
                asking = asyncio.ensure_future(ask(here, "queue.purge"))
            else:
                asking = asyncio.ensure_future(ask(here, "basic.get", no_ack=True))
            await asyncio.sleep(0)  # it is there when the node wakes up
        finally:
            old.resume()
        woke = time.monotonic()
        said = await asking
        print(f"{old.name}: {said.name} {time.monotonic() - woke:.3f} s after it woke up")
        if number < 2:
            assert (said.name, said.body) == ("basic.get-ok", body)
        else:
            assert said.values["message_count"] == 1, said
        if number == 2:
            assert (await ask(here, "basic.get", no_ack=True)).body == body
        assert (await ask(here, "basic.get", no_ack=True)).name == "basic.get-empty"
        await asyncio.to_thread(trio.await_whole)
        for each in (there, here):
            each.abort()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_who_stood_still_does_not_answer_for_a_queue_of_another(tmp_path: Path) -> None:
    trio = Trio("mqd", tmp_path / "nodes")
    try:
        asyncio.run(story(trio))
    except Hardship as error:
        raise AssertionError(f"no answer: {error!r}") from error
    finally:
        trio.end()
