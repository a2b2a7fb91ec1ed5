"""Whether a user may do something, and what would allow it."""

from __future__ import annotations

import shlex

import pytest

from mqd.admin.explain_permission import explain
from mqd.auth.access import Access
from mqd.auth.permissions import Kind, Permission, TopicPermission
from mqd.metadata.commands import PutPermission, PutTopicPermission
from mqd.names import Resource
from tests.unit.admin.stand import Stand


@pytest.fixture
def stand() -> Stand:
    stand = Stand()
    stand.add_user("bob")
    return stand


def allow(stand: Stand, configure: str, write: str, read: str) -> None:
    stand.metadata.propose_now(PutPermission("bob", "/", Permission(configure, write, read)))


def test_allowed(stand: Stand) -> None:
    answer = explain(stand.metadata.state, "guest", "/", "read", "q")
    assert (answer.outcome, answer.reasons[0].kind) == ("allowed", "covered")
    assert answer.says == "user 'guest' may read 'q' in vhost '/'"


@pytest.mark.parametrize(
    ("user", "vhost", "kind", "command"),
    [
        ("bobb", "/", "no_such_user", "mqctl add_user bobb"),
        ("guest", "qa", "no_such_vhost", "mqctl add_vhost qa"),
        ("bob", "/", "no_permissions", "mqctl set_permissions -p / bob '' '^q$' ''"),
    ],
)
def test_what_is_missing(stand: Stand, user: str, vhost: str, kind: str, command: str) -> None:
    reason = explain(stand.metadata.state, user, vhost, "write", "q").reasons[0]
    assert (reason.kind, reason.command) == (kind, command)


def test_other_vhosts_are_named(stand: Stand) -> None:
    stand.add_vhost("qa")
    stand.metadata.propose_now(PutPermission("bob", "qa", Permission("", "", "")))
    assert (
        "it has some in 'qa'"
        in explain(stand.metadata.state, "bob", "/", "read", "q").reasons[0].says
    )


@pytest.mark.parametrize(
    ("pattern", "name", "hint"),
    [
        ("", "q", "is empty, and covers nothing"),
        ("^Q", "q", "upper and lower case count"),
        ("^order$", "orders", "without ^ and $ it would"),
        ("^order*x$", "order.new.x", "any text is .*, not *"),
        ("^a$", "q", "does not cover 'q'"),
    ],
)
def test_expressions_that_do_not_cover(stand: Stand, pattern: str, name: str, hint: str) -> None:
    allow(stand, "x", pattern, "y")
    assert hint in explain(stand.metadata.state, "bob", "/", "write", name).reasons[0].says


@pytest.mark.parametrize("kind", ["configure", "write", "read"])
@pytest.mark.parametrize("name", ["q", "a.b|c", "", "it's"])
def test_the_command_allows_it_and_nothing_is_lost(stand: Stand, kind: Kind, name: str) -> None:
    allow(stand, "^x", "^x", "")
    state = stand.metadata.state
    words = shlex.split(explain(state, "bob", "/", kind, name).reasons[0].command)
    assert words[:5] == ["mqctl", "set_permissions", "-p", "/", "bob"]
    allow(stand, *words[5:])
    access = Access(state)
    assert access.check("bob", Resource("exchange", "/", name), kind)
    assert access.check("bob", Resource("queue", "/", "x1"), "write")
    assert explain(state, "bob", "/", kind, name).outcome == "allowed"


def test_topics(stand: Stand) -> None:
    allow(stand, ".*", ".*", ".*")
    granted = TopicPermission("^{username}\\.", "^public\\.")
    stand.metadata.propose_now(PutTopicPermission("bob", "/", "ev", granted))
    state = stand.metadata.state
    assert explain(state, "bob", "/", "write", "ev", "bob.x").outcome == "allowed"
    reason = explain(state, "bob", "/", "write", "ev", "eve.x").reasons[0]
    assert reason.kind == "topic_not_covered"
    words = shlex.split(reason.command)
    assert words[:6] == ["mqctl", "set_topic_permissions", "-p", "/", "bob", "ev"]
    stand.metadata.propose_now(PutTopicPermission("bob", "/", "ev", TopicPermission(*words[6:])))
    assert explain(state, "bob", "/", "write", "ev", "eve.x").outcome == "allowed"
    assert explain(state, "bob", "/", "read", "ev", "x").outcome == "refused"
    assert explain(state, "bob", "/", "configure", "ev", "x").outcome == "allowed"
