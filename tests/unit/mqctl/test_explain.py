"""explain: its two words, its text, its JSON."""

from __future__ import annotations

import json

import pytest

from mqd.rpc.v1 import explain_pb2 as pb
from tests.unit.mqctl.fake_node import FakeNode, call, refuse

ANSWER = pb.Explanation(
    subject="queue",
    name="q",
    vhost="/",
    outcome="stuck",
    says="queue 'q' does not drain",
    reasons=[
        pb.ExplanationReason(
            kind="no_consumers", says="nobody consumes", command="mqctl x; mq-diagnostics y"
        ),
        pb.ExplanationReason(kind="full", says="it is full"),
    ],
)
TEXT = """Queue 'q' does not drain.
 * nobody consumes
   $ mqctl x; mq-diagnostics y
 * it is full
"""


@pytest.fixture
def node(fake: FakeNode) -> FakeNode:
    fake.answer("Explain/Queue", pb.ExplainQueue, lambda *_: ANSWER)
    return fake


@pytest.mark.parametrize(
    "argv", [["explain", "queue"], ["explain_queue"], ["-q", "explain", "-p", "/", "queue"]]
)
def test_two_words_are_one_verb(node: FakeNode, argv: list[str]) -> None:
    done = call(*argv, "q")
    assert (done.code, done.out, done.err) == (0, TEXT, "")
    assert (node.requests[0].vhost, node.requests[0].queue) == ("/", "q")


def test_a_queue_may_be_called_like_a_form(node: FakeNode) -> None:
    assert call("explain", "queue", "queue", tool="mq-diagnostics").code == 0
    assert node.requests[0].queue == "queue"


def test_json(node: FakeNode) -> None:
    found = json.loads(call("explain", "queue", "q", "--formatter", "json").out)
    assert found.keys() == {
        "result",
        "node",
        "subject",
        "name",
        "vhost",
        "outcome",
        "says",
        "queues",
        "reasons",
    }
    assert found["outcome"] == "stuck"
    assert found["reasons"][1] == {"kind": "full", "says": "it is full", "command": ""}


@pytest.mark.parametrize("formatter", ["csv", "table", "erlang", "pretty_table", "json_stream"])
def test_other_formats_have_a_row_for_each_reason(node: FakeNode, formatter: str) -> None:
    done = call("explain", "queue", "q", "--formatter", formatter)
    assert done.code == 0
    assert "no_consumers" in done.out


def test_commands_are_for_the_node_that_was_named(node: FakeNode) -> None:
    out = call("-n", "fake@localhost", "explain", "queue", "q").out
    assert "$ mqctl -n fake@localhost x; mq-diagnostics -n fake@localhost y\n" in out


def test_the_forms(run_dir: object) -> None:
    done = call("explain")
    assert done.code == 0
    assert done.out.splitlines()[::2] == [
        "mqctl explain cluster",
        "mqctl explain connection <connection>",
        "mqctl explain permission [--vhost <vhost>] [--routing-key <key>] <user> "
        "<configure | write | read> <name>",
        "mqctl explain publish [--vhost <vhost>] [--user <user>] <exchange> <routing_key> "
        "[<headers>]",
        "mqctl explain queue [--vhost <vhost>] <queue>",
    ]


def test_wrong_arguments(run_dir: object) -> None:
    done = call("explain", "weather")
    assert done.code == 64
    assert "nothing is known of 'weather'" in done.err
    assert call("explain", "queue").code == 64
    assert call("explain", "queue", "a", "b").code == 64
    assert call("explain", "queue", "").code == 65
    assert call("explain", "queue", "q", "--user", "x").code == 64


def test_what_is_not_there(fake: FakeNode) -> None:
    fake.answer(
        "Explain/Queue", pb.ExplainQueue, lambda _, context: refuse(context, "NOT_FOUND", "no q")
    )
    done = call("explain", "queue", "q")
    assert (done.code, done.out, done.err) == (65, "", "Error:\nno q\n")
