"""What refuses a user beside permissions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mqd.admin.explain_access import beside
from mqd.auth.permissions import Kind
from mqd.auth.users import User
from mqd.metadata.commands import PutUser
from tests.unit.admin.stand import Stand


@pytest.fixture
def stand() -> Stand:
    stand = Stand()
    stand.broker.auth.loopback_users = frozenset()
    return stand


def ask(
    stand: Stand, user: str = "guest", kind: Kind = "configure", name: str = "q"
) -> dict[str, str]:
    state = stand.metadata.state
    found = beside(stand.broker, state, user, "/", kind, name, "/etc/r.conf")
    return {reason.kind: reason.command for reason in found}


def test_nothing(stand: Stand) -> None:
    stand.connect()
    assert ask(stand) == {}
    assert ask(stand, "nobody") == {}


def test_logins(stand: Stand) -> None:
    stand.broker.auth.loopback_users = frozenset(("guest",))
    stand.metadata.propose_now(PutUser(User("mute", b"")))
    assert ask(stand) == {
        "loopback_only": (
            "echo 'loopback_users.guest = false' >>/etc/r.conf && systemctl reload mqd"
        )
    }
    assert ask(stand, "mute") == {"no_password": "mqctl change_password mute"}


def test_limits_of_a_user(stand: Stand) -> None:
    guest = stand.metadata.state.users["guest"]
    limited = replace(guest, limits={"max-connections": 1, "max-channels": 1})
    stand.metadata.propose_now(PutUser(limited))
    assert ask(stand) == {}
    stand.channel(stand.connect())
    found = beside(stand.broker, stand.metadata.state, "guest", "/", "read", "q", "")
    assert [reason.says for reason in found] == [
        "the user's limit max-connections is reached: 1 of 1",
        "the user's limit max-channels is reached: 1 of 1",
    ]


def test_limits_of_a_vhost(stand: Stand) -> None:
    stand.broker.vhosts["/"].limits = {"max-connections": 0, "max-queues": 1}
    stand.queue("q")
    found = list(beside(stand.broker, stand.metadata.state, "guest", "/", "configure", "x", ""))
    assert [reason.says for reason in found] == [
        "the virtual host's limit max-connections is reached: 0 of 0",
        "the virtual host's limit max-queues is reached: 1 of 1",
    ]
    assert ask(stand, kind="read").keys() == {"vhost_limit"}


def test_a_limit_of_the_node(stand: Stand) -> None:
    stand.broker.settings = replace(stand.broker.settings, connection_max=1)
    stand.connect()
    assert ask(stand).keys() == {"node_connection_limit"}


def test_a_queue_of_another(stand: Stand) -> None:
    stand.queue("q", owner=stand.connect(), durable=False)
    assert ask(stand).keys() == {"exclusive"}
