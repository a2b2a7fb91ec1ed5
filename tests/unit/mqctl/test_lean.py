"""A call imports little: start-up is most of what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.mqctl.fake_node import FakeNode
from tests.waiting import PATIENCE_S

OF_HTTP2 = {"dataclasses", "h2", "inspect", "logging"}  # paid for by calls that reach a node
HEAVY = {
    "asyncio",
    "click",
    "email",
    "grpc",
    "importlib.metadata",
    "json",
    "pkg_resources",
    "platformdirs",
    "rich",
    "ssl",
    "subprocess",
}
PROGRAM = """
import sys
sys.argv = sys.argv[1:]
from mqctl.main import main
try:
    main()
except SystemExit:
    pass
loaded = sorted(name for name in sys.modules)
print("LOADED", *loaded)
"""


# A host's own files cost what is needed to read them.
NOTHING_SET = {"RABBITMQ_CONF_ENV_FILE": "/nowhere", "RABBITMQ_ENABLED_PLUGINS_FILE": "/nowhere"}


def loaded(*argv: str, tool: str = "mqctl") -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tool, *argv],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, **NOTHING_SET},
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("LOADED "))
    return set(line.split()[1:])


def test_a_listing_imports_only_its_own_area(fake: FakeNode) -> None:
    from mqd.rpc.v1 import queues_pb2

    rows = queues_pb2.QueueRows(rows=[queues_pb2.QueueRow(name="q", messages=1)])
    fake.answer("Queues/List", queues_pb2.ListQueues, lambda *_: iter([rows]), stream=True)
    modules = loaded("list_queues")
    assert len(fake.requests) == 1
    assert not (modules & HEAVY)
    areas = {name for name in modules if name.startswith("mqd.rpc.v1.") and name.endswith("_pb2")}
    assert areas == {f"mqd.rpc.v1.{area}_pb2" for area in ("queues", "values", "verb")}
    assert {name for name in modules if name.startswith("mqctl.output.")} == {
        "mqctl.output.printing",
        "mqctl.output.results",
        "mqctl.output.table",
        "mqctl.output.terms",
    }


def test_the_node_looks_for_plugins(fake: FakeNode) -> None:
    """Installed distributions are looked through there, not here."""
    from mqd.rpc.v1 import plugins_pb2

    fake.answer("Plugins/List", plugins_pb2.ListPlugins, lambda *_: plugins_pb2.PluginsReply())
    modules = loaded("list", tool="mq-plugins")
    assert not (modules & (HEAVY | {"tempfile"}))
    assert not [name for name in modules if name.startswith("mqd.broker")]


@pytest.mark.usefixtures("run_dir")
@pytest.mark.parametrize("argv", [["version"], ["list_users", "-x"], ["ping"], ["help"]])
def test_no_call_imports_heavy_modules(argv: list[str]) -> None:
    assert not (loaded(*argv) & (HEAVY | OF_HTTP2))


def test_the_installed_script_is_lean() -> None:
    """No pkg_resources, no scan of installed distributions."""
    script = Path(sys.executable).parent / "mqctl"
    if not script.exists():
        pytest.skip("mqctl is not installed beside this interpreter")
    assert "from mqctl.main import main" in script.read_text()
