"""The house rules that linters cannot see."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LINES_MAX = 470
LARGER: dict[str, int] = {}  # on purpose, with the reason
# Where processes are started or killed at random moments, a short bounded wait is all there is.
POLLING = (
    "tests/nodes.py",
    "tests/cluster/bench/",
    "tests/cluster/chaos/",
    "tests/cluster/story/",
    "tests/cluster/trio.py",
    "tests/clients/celery_scenario_tasks.py",
    "tests/clients/test_celery_scenarios.py",
    "tests/ctl/happenings.py",
    "tests/fault/",
    "tests/ops/hosts.py",
    "tests/perf/loads.py",
    "tests/suites/",
    "tests/waiting.py",
)


def sources(*folders: str) -> list[Path]:
    """Python files of the project that somebody wrote."""
    found = [path for folder in folders for path in sorted((PROJECT / folder).rglob("*.py"))]
    return [path for path in found if "rpc/v1" not in path.as_posix()]


def shown(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


PROGRAM = sources("mqd", "mqctl")
ALL = sources("mqd", "mqctl", "tests")


def test_every_module_opens_with_its_charter() -> None:
    bare = []
    for path in PROGRAM:
        tree = ast.parse(path.read_text())
        if tree.body and not ast.get_docstring(tree):
            bare.append(shown(path))
    assert bare == []


def test_a_charter_says_what_the_module_never_does_or_decides() -> None:
    """In every module of the daemon long enough to have a choice."""
    silent = []
    for path in sources("mqd"):
        text = path.read_text()
        charter = ast.get_docstring(ast.parse(text)) or ""
        if text.count("\n") > 60 and not re.search(
            r"\b(Decides?|[Nn]ever|Nothing|[Hh]olds no)\b", charter
        ):
            silent.append(shown(path))
    assert silent == []


def test_no_file_has_grown_out_of_its_room() -> None:
    sizes = {shown(path): path.read_text().count("\n") for path in PROGRAM}
    large = {name: n for name, n in sizes.items() if n > LARGER.get(name, LINES_MAX)}
    assert large == {}
    assert [name for name in LARGER if sizes.get(name, 0) <= LINES_MAX] == [], "allowance unused"


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!.*#\d)")
    left = [
        f"{shown(path)}:{number}"
        for path in PROGRAM
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert left == []


def test_public_functions_and_classes_of_the_daemon_say_what_they_are_for() -> None:
    """What another module calls has a docstring, unless it implements what a protocol says."""
    bare = []
    for path in sources("mqd/config"):
        for item in ast.parse(path.read_text()).body:
            if isinstance(item, ast.FunctionDef | ast.ClassDef) and not item.name.startswith("_"):
                if not ast.get_docstring(item):
                    bare.append(f"{shown(path)}: {item.name}")
    assert bare == []


def test_tests_do_not_sleep() -> None:
    """Waiting is for an event with a bound."""
    sleeping = [
        shown(path)
        for path in sources("tests")
        if re.search(r"^[^#\n]*\btime\.sleep\(", path.read_text(), re.MULTILINE)
        and not shown(path).startswith(POLLING)
    ]
    assert sleeping == []


def committed() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return done.stdout.split("\0")[:-1]


def test_no_file_is_left_over() -> None:
    """Editors, crashes and builds leave files that nobody meant to keep."""
    names = committed()
    if not names:
        pytest.skip("not a git checkout")
    leftovers = re.compile(r"(\.orig|\.rej|\.bak|\.swp|~|\.pyc|\.dump|\.log|\.sqlite|\.db)$")
    assert [name for name in names if leftovers.search(name) and "fixtures/" not in name] == []


def test_no_two_test_files_of_a_folder_say_the_same() -> None:
    """Copied tests drift: a body stands once."""
    seen: dict[str, str] = {}
    twice = []
    for path in sources("tests"):
        for item in ast.walk(ast.parse(path.read_text())):
            if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
                body = ast.dump(ast.Module(item.body, []))
                if len(body) > 800 and body in seen:
                    twice.append(f"{shown(path)}: {item.name} and {seen[body]}")
                seen[body] = f"{shown(path)}: {item.name}"
    assert twice == []
