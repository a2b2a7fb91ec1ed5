"""The form of rabbitmq.conf (observed: 3.10.8, cuttlefish_conf:file/1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.config.parse import ConfigError, Entry, parse


def pairs(text: str) -> list[tuple[str, str]]:
    return [(entry.key, entry.value) for entry in parse(text, "f")]


def test_blanks_and_comments_do_not_count() -> None:
    text = "# a comment\n\n  heartbeat=5\ncluster_name = two words  # why\nx = a#b\r\n"
    assert pairs(text) == [("heartbeat", "5"), ("cluster_name", "two words"), ("x", "a")]


def test_quotes_keep_what_would_be_a_comment() -> None:
    assert pairs("default_pass = 'a # b'  # c") == [("default_pass", "a # b")]


def test_where_each_line_stands_is_kept() -> None:
    assert parse("\n\na = 1\n", "dir/f.conf") == [Entry("a", "1", "dir/f.conf:3")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("heartbeat", "f:1: not of the form 'key = value': heartbeat"),
        ("a =", "f:1: no value after 'a =': write one or remove the line"),
        ("a = # nothing", "f:1: no value after 'a =': write one or remove the line"),
        ("[{rabbit,[]}].", "f:1: this looks like an Erlang term"),
    ],
)
def test_bad_lines_are_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert caught.value.detail.startswith(problem)


@given(st.text())
def test_any_text_parses_or_is_refused_by_line(text: str) -> None:
    try:
        entries = parse(text, "f")
    except ConfigError as error:
        assert all(p.startswith("f:") for p in error.problems)  # noqa: PT017
    else:
        assert all(entry.value for entry in entries)
