"""consume_event_stream: what is told of what happens, as 3.10.8 tells it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pika
import pytest

from tests.ctl.happenings import RECORDED, comparable, happen
from tests.nodes import Node
from tests.waiting import PATIENCE_S

_TOOL = "import sys; sys.argv[0] = 'mq-diagnostics'; from mqctl.main import main; main()"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("events")) as node:
        node.await_control()
        yield node


# of what is done until somebody is heard to listen
_READY = 'password.changed","user_who_performed_action":"rmq-cli","name":"guest"'


@contextmanager
def listening(
    node: Node, *words: str, stir: Callable[[], object] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A tool that hears all that happens from now on. stir: makes something happen."""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", _TOOL, "consume_event_stream", *words],
        env=node.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as tool:
        assert tool.stdout is not None
        try:
            while not select.select([tool.stdout], [], [], 0.2)[0]:
                stir() if stir else node.ctl("change_password", "guest", "guest")
            yield tool
        finally:
            tool.kill()


def heard_until(tool: subprocess.Popen[str], word: str) -> list[str]:
    assert tool.stdout is not None
    lines = []
    for line in tool.stdout:
        if _READY not in line:
            lines.append(line)
        if word in line:
            return lines
    raise AssertionError(f"no {word} in {lines}")


@pytest.mark.slow
def test_everything_as_rabbitmq_tells_it(node: Node) -> None:
    with listening(node) as tool:
        happen(node.port, node.ctl)
        node.ctl("add_user", "last", "secret")
        lines = heard_until(tool, '"last"')
    assert comparable(lines[:-1]) == RECORDED.read_text().splitlines()


def test_a_pattern_chooses_by_name(node: Node) -> None:
    with listening(node, "--pattern", "^user.*d$") as tool:
        node.ctl("add_user", "chosen", "secret")
        node.ctl("set_user_tags", "chosen", "management")
        node.ctl("delete_user", "chosen")
        lines = heard_until(tool, "user.deleted")
    assert [json.loads(line)["event"] for line in lines] == ["user.created", "user.deleted"]


def test_the_stream_ends_with_the_application(node: Node) -> None:
    with listening(node) as tool:
        node.ctl("stop_app")
        assert tool.wait(PATIENCE_S) == 0
    node.ctl("start_app")


def test_a_duration_ends_it(node: Node) -> None:

    def stir() -> None:  # often within two seconds, which a tool may need for its start alone
        pika.BlockingConnection(pika.ConnectionParameters(*node.address)).close()

    with listening(node, "-d", "2", "-t", "1", stir=stir) as tool:
        assert tool.wait(PATIENCE_S) == 0
        assert tool.stdout is not None
        assert tool.stdout.read().endswith("}\n\n")
    node.ctl("add_user", "unheard", "secret")


def plugins(node: Node, *words: str) -> None:
    code = _TOOL.replace("mq-diagnostics", "mq-plugins")
    subprocess.run([sys.executable, "-c", code, *words], env=node.environment, check=True)


def test_the_event_exchange_comes_and_goes(node: Node) -> None:
    """Without a restart; the order is 3.10.8's."""
    with listening(node, "--pattern", "user.password|exchange|plugins") as tool:
        plugins(node, "enable", "rabbitmq_event_exchange")
        assert "amq.rabbitmq.event\ttopic\ttrue\ttrue" in node.ctl(
            "list_exchanges", "name", "type", "durable", "internal"
        )
        plugins(node, "disable", "rabbitmq_event_exchange")
        assert "amq.rabbitmq.event" not in node.ctl("list_exchanges")
        events = [json.loads(line) for line in heard_until(tool, '["rabbitmq_event_exchange"],"e')]
    assert [event["event"] for event in events] == [
        "exchange.created",
        "plugins.changed",
        "exchange.deleted",
        "plugins.changed",
    ]
    assert events[0]["user_who_performed_action"] == "rmq-internal"
    assert (events[1]["enabled"], events[3]["enabled"]) == (["rabbitmq_event_exchange"], [])
