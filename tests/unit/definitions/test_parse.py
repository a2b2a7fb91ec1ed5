"""mqd.definitions.parse: what is read, and what is said of what is not. Observed: 3.10.8."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.definitions.parse import Unreadable, lines_of, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(JSON.filter(lambda value: "inf" not in repr(value)), st.sampled_from([None, 2]))
def test_what_is_json_is_read(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=indent is None)
    assert parse(text.encode("utf-8", "surrogatepass")) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":1,}', {"a": 1}),
        (b'{"a":1 "b":2}', {"a": 1, "b": 2}),
        (b"[1 2]", [1, 2]),
        (b"[1,]", [1]),
        (b'{"a":01}', {"a": 1}),
        (b"-01.50", -1.5),
        (b'{"a":"\t\n"}', {"a": "\t\n"}),
        (b'"\\q\\u0041,"', "\\qA,"),
        (b'["a\\ud83d\\ude00",]', ["a\U0001f600"]),
        (b"\xc2\xa0{\x0c}", {}),
        (b"1E+5,"[:-1], 100000.0),
    ],
)
def test_what_is_nearly_json_is_read(text: bytes, value: object) -> None:
    assert parse(text) == value


END = ":unexpected_end_of_buffer"


@pytest.mark.parametrize(
    ("text", "line", "column", "shown"),
    [
        (b"{not json\n", 1, 2, '{:unexpected_token, "not json"}'),
        (b'{"a": 1,\n "b": x}\n', 2, 7, '{:unexpected_token, "x}"}'),
        (b'{"a":1} x y \n', 1, 9, '{:unexpected_token, "x y"}'),
        (b'{"a":1,,"b":2}', 1, 8, '{:unexpected_token, ",\\"b\\":2}"}'),
        (b'{"a":"\\u12"}', 1, 11, '{:unexpected_token, "\\"}"}'),
        (b"\xff", 1, 1, "{:unexpected_token, <<255>>}"),
        (b"\xef\xbb\xbf{}", 1, 1, '{:unexpected_token, "\\uFEFF{}"}'),
        (b'{"a":1e}', 1, 8, '{:unexpected_token, "}"}'),
        (b'{"a":-}', 1, 6, '{:unexpected_token, "-}"}'),
        (b'{"a" 1}', 1, 6, '{:unexpected_token, "1}"}'),
        (b'{"a":\x00}', 1, 6, "{:unexpected_token, <<0, 125>>}"),
        (b"NaN", 1, 1, '{:unexpected_token, "NaN"}'),
        (b"", 1, 1, END),
        (b"  \n", 1, 1, END),
        (b"{", 1, 2, END),
        (b'{"a"', 1, 5, END),
        (b'{"a":', 1, 6, END),
        (b"[1,", 1, 4, END),
        (b'"abc\\', 1, 6, END),
        (b'"\\u', 1, 4, END),
    ],
)
def test_what_is_no_json_is_refused(text: bytes, line: int, column: int, shown: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column, caught.value.shown) == (line, column, shown)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a":"\xff"}', "1:7: a text that is not UTF-8"),
        (b'"\\ud83dx"', "1:2: half of a pair of escapes"),
        (b"[1,\n1e400]", "2:1: a number that is too large"),
        (b"1" * 5000, "1:1: a number that is too large"),
        (b"[" * 300, "1:201: nested more than 200 levels deep"),
        (b"[" * 100_000, "1:201: nested more than 200 levels deep"),
    ],
)
def test_what_3_10_8_crashes_on_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(text)
    assert (str(caught.value), caught.value.shown) == (words, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[tru]", 'expected a value, or "]", found t'),
        (b'{"a":\xff}', "expected a value, found the byte 255"),
        (b'{"a":\x00}', "expected a value, found the character 0"),
        (b"{'a':1}", 'expected a name in double quotes, or "}", found \''),
        (b"{", 'expected a name in double quotes, or "}", found the end of the file'),
    ],
)
def test_it_says_what_it_wants(text: bytes, words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(text)
    assert caught.value.reason == words


@given(st.binary(max_size=40) | st.text('{}[]",:\\u1e-.\n tnx', max_size=40).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(Unreadable):
        parse(data)


def test_lines_of_objects() -> None:
    text = b'{\n "users": [{"name": "a", "tags": [1,\n 2]},\n\n {"name": "b"}],\n "queues":\n []}'
    assert lines_of(text) == {
        ("users", -1): 2,
        ("users", 0): 2,
        ("users", 1): 5,
        ("queues", -1): 7,
    }
    assert lines_of(b"{") == {}
