"""The table of keys: unique, described, found by what somebody writes."""

from __future__ import annotations

import pytest

from mqd.config.schema import find, schema, segments, working


def test_no_key_stands_twice() -> None:
    names = [key.name for key in schema().keys]
    assert len(names) == len(set(names))


def test_every_working_key_says_what_it_does() -> None:
    for key in working().keys:
        assert key.works
        assert len(key.doc) > 10, key.name
        assert not key.doc.endswith("."), key.name


def test_accepted_keys_promise_nothing() -> None:
    accepted = [key for key in schema().keys if not key.works]
    assert len(accepted) > 500
    assert all(key.default is None for key in accepted)


@pytest.mark.parametrize(
    ("written", "row"),
    [
        ("heartbeat", "heartbeat"),
        ("listeners.tcp.default", "listeners.tcp.$name"),
        ("listeners.tcp", "listeners.tcp"),
        ("loopback_users.dotted\\.name", "loopback_users.$user"),
        ("auth_backends.1.authn", "auth_backends.$num.authn"),
        ("ssl_options.versions.1", "ssl_options.versions.$version"),
        ("log.queue.level", "log.queue.level"),
    ],
)
def test_written_keys_find_their_row(written: str, row: str) -> None:
    found = find(written)
    assert found is not None
    assert found.name == row


@pytest.mark.parametrize("written", ["heart", "listeners.tcp.a.b", "listeners.tcp.", "", "$name"])
def test_unknown_keys_find_none(written: str) -> None:
    assert find(written) is None


def test_the_nearest_key_is_offered() -> None:
    assert schema().nearest("heartbeet") == "heartbeat"
    assert schema().nearest("zzzzzz") is None


def test_an_escaped_dot_is_part_of_a_segment() -> None:
    assert segments("a.b\\.c") == ("a", "b.c")
