"""mqd.broker.shelf: contents come back whole, and pages go when nobody refers to them."""

from __future__ import annotations

import gc

from mqd.broker.memory import MemorySpool
from mqd.broker.message import Message, content_of, names_of
from mqd.broker.shelf import Shelf, Shelved, restore


def message(body: bytes) -> Message:
    header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + b"\x10\x00\x02"
    return Message(names_of("", "q"), content_of(header, body, 1, 4096), True)


def test_a_content_comes_back_and_is_known_meanwhile() -> None:
    spool = MemorySpool()
    shelf = Shelf(spool)
    messages = [message(bytes([number]) * number * 100) for number in range(1, 60)]
    contents = [each.content for each in messages]
    shelf.put(messages[:30])
    shelf.put(messages[30:])
    assert len(spool.pages) == 2
    for number, each in enumerate(messages, 1):
        assert isinstance(each.content, Shelved)
        assert len(each.content) < 40
        assert each.body_bytes == number * 100
        assert each.content[19:21] == b"\x10\x00"  # the flags: delivery-mode and no other
    for each in reversed(messages):
        restore(each)
        restore(each)
    assert [each.content for each in messages] == contents
    assert [each.body for each in messages] == [
        bytes([number]) * number * 100 for number in range(1, 60)
    ]


def test_a_page_goes_with_the_last_that_is_on_it() -> None:
    spool = MemorySpool()
    shelf = Shelf(spool)
    messages = [message(bytes(1000)) for _ in range(10)]
    shelf.put(messages)
    restore(messages.pop())
    del messages[1:]
    gc.collect()
    shelf.tidy()
    assert (shelf.page_count, len(spool.pages)) == (1, 1)
    messages.clear()
    gc.collect()
    shelf.tidy()
    assert (shelf.page_count, spool.pages) == (0, {})


def test_two_shelves_do_not_mix() -> None:
    spools = [MemorySpool(), MemorySpool()]
    shelves = [Shelf(spool) for spool in spools]
    one, two = message(b"one"), message(b"two")
    shelves[0].put([one])
    shelves[1].put([two])
    restore(two)
    for shelf in shelves:
        shelf.tidy()
    assert [len(spool.pages) for spool in spools] == [1, 0]
    restore(one)
    assert (one.body, two.body) == (b"one", b"two")
