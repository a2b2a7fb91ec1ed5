"""The tools' pages are written from the catalogue and say everything in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mqctl.manual import escape, pages
from mqd.rpc.v1 import index
from tests.waiting import PATIENCE_S

MAN = Path(__file__).resolve().parents[3] / "man"
PAGE = MAN / "mqctl.8"


@pytest.mark.parametrize("name", pages())
def test_the_pages_are_the_catalogues(name: str) -> None:
    assert (MAN / name).read_text() == pages()[name], "make man"


@pytest.mark.parametrize("name", pages())
def test_man_takes_them_without_a_word(name: str) -> None:
    man = shutil.which("man")
    if man is None:
        pytest.skip("there is no man")
    done = subprocess.run(
        [man, "--warnings", "-l", "-Tutf8", MAN / name],
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage information" in done.stdout


def test_every_verb_is_in_it() -> None:
    text = PAGE.read_text()
    assert [name for name in index.VERBS if f"\\fB{escape(name)}\\fR" not in text] == []


def test_escapes() -> None:
    assert escape("a-b\\c") == r"a\-b\ec"
    assert escape(".dot") == r"\&.dot"
