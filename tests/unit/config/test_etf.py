"""Terms as bytes: what is written is read again, and what is broken is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.config import etf
from mqd.config.erlang import Atom, Chars, Plain

_SCALARS: st.SearchStrategy[Plain] = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(),
    st.text(max_size=60).map(Atom),
    st.text(st.characters(max_codepoint=255), min_size=1).map(Chars),
)
_TERMS = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.binary(max_size=4), inner, max_size=3),
    ),
    max_leaves=20,
)


@given(_TERMS)
def test_what_is_written_is_read(term: Plain) -> None:
    assert etf.loads(etf.dumps(term)) == term


@given(st.binary(max_size=80))
def test_broken_bytes_are_refused(data: bytes) -> None:
    for candidate in (data, b"\x83" + data, b"\x83P\0\0\0\1" + data):
        try:
            etf.loads(candidate)
        except ValueError:
            continue


def test_deep_bytes_do_not_end_the_process() -> None:
    with pytest.raises(ValueError, match="no external term"):
        etf.loads(b"\x83" + b"l\0\0\0\1" * 100_000)


def test_old_atoms_are_read() -> None:
    assert etf.loads(b"\x83d\0\3foo") == Atom("foo")
    assert etf.loads(b"\x83s\3foo") == Atom("foo")
