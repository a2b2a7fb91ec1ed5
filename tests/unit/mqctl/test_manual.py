"""mqctl(8) is written from the catalogue and says everything in it."""

from __future__ import annotations

from pathlib import Path

from mqctl.manual import escape, page
from mqd.rpc.v1 import index

PAGE = Path(__file__).resolve().parents[3] / "man/mqctl.8"


def test_the_page_is_the_catalogues() -> None:
    assert PAGE.read_text() == page(), "make man"


def test_every_verb_is_in_it() -> None:
    text = PAGE.read_text()
    assert [name for name in index.VERBS if f"\\fB{escape(name)}\\fR" not in text] == []


def test_escapes() -> None:
    assert escape("a-b\\c") == r"a\-b\ec"
    assert escape(".dot") == r"\&.dot"
