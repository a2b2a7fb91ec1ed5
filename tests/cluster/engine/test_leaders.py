"""Whom to believe about leaders, and what a server is told."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mqd.cluster.engine import api
from mqd.cluster.engine.leaders import Leaders
from mqd.cluster.engine.settings import (
    ROUTES_TO_NOBODY,
    Secrets,
    config_text,
    node_of,
    peer_id,
    server_name,
)
from mqd.cluster.identity import Identity
from mqd.metadata.commands import Member


def test_an_announcement_counts_at_once_and_an_older_answer_does_not() -> None:
    leaders = Leaders()
    turn = leaders.asks()
    assert leaders.announced("Q0", "b") == [("Q0", "b")]
    assert leaders.answered(turn, {"Q0": "a"}) == []
    assert leaders.known == {"Q0": "b"}


def test_an_answer_that_contradicts_counts_the_second_time() -> None:
    leaders = Leaders()
    assert leaders.answered(leaders.asks(), {"Q0": "a"}) == [("Q0", "a")]
    assert leaders.answered(leaders.asks(), {"Q0": None}) == []
    assert leaders.in_doubt
    assert leaders.answered(leaders.asks(), {"Q0": None}) == [("Q0", None)]
    assert leaders.answered(leaders.asks(), {"Q0": "c"}) == [("Q0", "c")]
    assert not leaders.in_doubt
    assert leaders.gone(leaders.asks(), "Q0") == [("Q0", None)]
    assert leaders.gone(leaders.asks(), "Q0") == []


def test_a_log_that_was_made_anew_is_not_gone() -> None:
    leaders = Leaders()
    leaders.announced("Q0", "a")
    turn = leaders.asks()
    leaders.announced("Q0", "b")
    assert leaders.gone(turn, "Q0") == []
    assert leaders.known == {"Q0": "b"}
    assert leaders.gone(leaders.asks(), "Q0") == [("Q0", None)]


def test_without_a_server_nobody_leads() -> None:
    leaders = Leaders()
    leaders.announced("Q0", "a")
    leaders.answered(leaders.asks(), {"Q1": None})
    assert leaders.nobody() == [("Q0", None)]
    assert leaders.known == {"Q0": None, "Q1": None}


NAMES = st.sampled_from(["a", "b", None])
STEPS = st.lists(
    st.tuples(st.sampled_from(["announced", "answered", "gone", "nobody"]), NAMES), max_size=30
)


@given(STEPS, NAMES)
def test_changes_told_add_up_to_what_is_known_and_two_answers_settle_it(
    steps: list[tuple[str, str | None]], truth: str | None
) -> None:
    leaders = Leaders()
    heard: dict[str, str | None] = {}
    for step, name in steps:
        if step == "announced":
            changes = leaders.announced("Q0", name)
        elif step == "answered":
            changes = leaders.answered(leaders.asks(), {"Q0": name})
        else:
            is_gone = step == "gone"
            changes = leaders.gone(leaders.asks(), "Q0") if is_gone else leaders.nobody()
        for log, leader in changes:
            assert heard.get(log) != leader
            heard[log] = leader
        assert heard.get("Q0") == leaders.known.get("Q0")
    for _ in range(2):
        leaders.answered(leaders.asks(), {"Q0": truth})
    assert leaders.known["Q0"] == truth


def test_names_of_servers_and_their_hashes() -> None:
    """The hash as nats-server 2.15.1 logged it."""
    assert peer_id("rabbit@n1~1") == "jsBRRbp5"
    assert node_of(server_name("rabbit@a~b", "00000001")) == "rabbit@a~b"


def config(joins: bool, others: list[Member]) -> dict[str, object]:
    me = Member("rabbit@a", "1", 1, host="::1", route_port=35672)
    identity = Identity(Path("/t/authority.pem"), Path("/t/node.pem"), Path("/t/node.key"))
    text = config_text(
        store=Path("/d/1"),
        cluster="id",
        me=me,
        others=others,
        listen="::",
        identity=identity,
        secrets=Secrets("c", "s", "x"),
        joins=joins,
    )
    parsed = json.loads(text)
    assert isinstance(parsed, dict)
    return parsed


def test_routes_are_to_the_others_and_somewhere_in_any_case() -> None:
    b = Member("rabbit@b", "2", 2, host="b.example", route_port=35673)
    to_b = "nats://b.example:35673"
    for joins, others, routes in (
        (False, [b], [to_b]),
        (True, [b], [to_b, *ROUTES_TO_NOBODY]),
        (False, [], ["nats://[::1]:35672"]),
    ):
        cluster = config(joins, others)["cluster"]
        assert isinstance(cluster, dict)
        assert cluster["routes"] == routes
        assert cluster["tls"]["verify"] is True
    assert config(False, [b])["jetstream"] == {
        "store_dir": "/d/1",
        "sync_interval": "always",
        "max_memory_store": 67_108_864,
        "max_file_store": 1 << 50,
    }


def test_a_server_that_has_just_started_does_not_know_who_leads() -> None:
    """It names itself for a log with several copies until it has joined those that have them."""
    config = {"config": {"num_replicas": 3}}
    alone = {"config": {"num_replicas": 1}, "cluster": {"name": "id", "leader": "a~1"}}
    assert not api.is_grouped({**config, "cluster": {"name": "id", "leader": "a~1"}})
    assert not api.is_grouped(config)
    assert api.is_grouped({**config, "cluster": {"name": "id", "raft_group": "S-R3F-x"}})
    assert api.is_grouped(alone)
