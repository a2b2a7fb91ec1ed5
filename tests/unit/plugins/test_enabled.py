"""`mqd.plugins.enabled`: the file of Erlang words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.config.parse import ConfigError
from mqd.plugins.enabled import parse, read, show


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[].\n", []),
        ("", []),
        ("\n% nothing yet\n", []),
        ("[rabbitmq_shovel].", ["rabbitmq_shovel"]),
        ("[a,b,c].", ["a", "b", "c"]),
        (" [ a , % one\n  'b-c' ,\n a ] . % done", ["a", "b-c"]),
        (r"['it\'s'].", ["it's"]),
    ],
)
def test_read_as_rabbitmq_reads_it(text: str, names: list[str]) -> None:
    assert parse(text, "f") == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "f:1: '[' expected, not 'a'"),
        ("[a", "f:1: ',' or ']' expected, not the end"),
        ("[a]", "f:1: '.' expected, not the end"),
        ("[\n a,\n]\n.", "f:3: a name expected, not ']'"),
        ("[a]. [b].", "f:1: nothing more expected, not '[b].'"),
        ("[a b].", "f:1: ',' or ']' expected, not 'b].'"),
        ("%c\n[\nMyPlugin].", "f:3: a name or ']' expected, not 'MyPlugin].'"),
        ("rabbitmq_shovel\nrabbitmq_top", "f:1: '[' expected, not 'rabbitmq_shovel'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert caught.value.detail == f"{said}: write [plugin_a,plugin_b]."


@given(st.lists(st.text("ab_-'\\ @1A[].,%", min_size=1), unique=True))
def test_what_is_written_is_read_again(names: list[str]) -> None:
    assert parse(show(names), "f") == names


def test_a_file_that_is_not_there_enables_nothing(tmp_path: Path) -> None:
    path = tmp_path / "enabled_plugins"
    assert read(path) == []
    path.write_text(show(["a", "b"]))
    assert (path.read_text(), read(path)) == ("[a,b].\n", ["a", "b"])
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read: it is not text"):
        read(path)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read(tmp_path)
