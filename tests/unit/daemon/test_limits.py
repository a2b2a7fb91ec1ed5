"""ulimit of rabbitmq-env.conf, on a process of its own."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import PATIENCE_S

PROGRAM = """
import resource
from mqd.daemon import limits
resource.setrlimit(resource.RLIMIT_NOFILE, (500, 1000))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
print(limits.apply({wanted}))
print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


def applied(wanted: object) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(wanted=repr(wanted))],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout.splitlines()


def test_soft_and_hard() -> None:
    assert applied({"open files": (300, -2, "f")}) == ["[]", "(300, 1000) 0"]
    assert applied({"open files": (300, 400, "f"), "core file size": (0, -2, "f")}) == [
        "[]",
        "(300, 400) 0",
    ]
    assert applied({"open files": (-2, 400, "f")})[1].startswith("(400, 400)")


def test_what_is_not_allowed_is_said() -> None:
    first, second = applied({"open files": (4096, -2, "f:2"), "pending signals": (1, 1, "f")})
    assert second.startswith("(1000, 1000)")
    assert "f:2: the limit of open files is 1000, not 4096: more is not allowed" in first
    assert "f: the limit of pending signals is not applied" in first


def test_unlimited_means_as_much_as_allowed() -> None:
    assert applied({"open files": (-1, -2, "f")}) == ["[]", "(1000, 1000) 0"]
