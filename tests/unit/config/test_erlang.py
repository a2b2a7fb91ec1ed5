"""Erlang terms as files have them, and the lines of what is wrong in them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqd.config.erlang import Atom, Chars, Plain, consult, parse
from mqd.config.parse import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo", Atom("foo")),
        ("'rabbit@a b'", Atom("rabbit@a b")),
        (r"'it\'s'", Atom("it's")),
        ('"a\\n\\x{e9}"', Chars("a\né")),
        ('"a" "b"', Chars("ab")),
        ("[]", []),
        ("{}", ()),
        ("[a|[b]]", ["a", "b"]),
        ("{a, 1, [b]} % why", ("a", 1, ["b"])),
        ("16#FF", 255),
        ("1_000", 1000),
        ("-5", -5),
        ("- 1.5e-3", -0.0015),
        ("$a", 97),
        ("$\\n", 10),
        ("$ ", 32),
        ('<<"guest">>', b"guest"),
        ("<<>>", b""),
        ("<<1,2:16,3:16/little>>", b"\x01\x00\x02\x03\x00"),
        ("<<5000:64/native>>", b"\x88\x13\0\0\0\0\0\0"),
        ("<<5000:64/native-unsigned-integer>>", b"\x88\x13\0\0\0\0\0\0"),
        ("<<1:4/unit:8>>", b"\0\0\0\x01"),
        ("<<1.5:32/float>>", b"\x3f\xc0\0\0"),
        ('<<"é"/utf8>>', "é".encode()),
        ("<<-1:16>>", b"\xff\xff"),
        ('#{a => 1, <<"b">> => []}', {"a": 1, b"b": []}),
    ],
)
def test_terms(text: str, expected: Plain) -> None:
    assert parse(text).plain() == expected


def test_words_and_texts_are_told_apart() -> None:
    items = parse('[a, "a", <<"a">>]').plain()
    assert [type(item) for item in items] == [Atom, Chars, bytes]


def test_every_term_knows_its_line() -> None:
    (term,) = consult("%% c\n[\n {a,\n  1},\n {b, 2}].\n", "f")
    first, second = term.value
    assert (term.line, first.line, second.value[1].line) == (2, 3, 5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a,\n b", "f:2: the file ends too early: ',' or ']' expected"),
        ("[a]", "f:1: the file ends too early: '.' ends the term expected"),
        ("[{a,1}\n{b,2}].", "f:2: syntax error before '{': ',' or ']' expected"),
        ("[a,].", "f:1: syntax error before ']': a term expected"),
        ("[X].", "f:1: a name that begins with 'X' is a variable, which is not allowed here"),
        ('[\n"x].', 'f:2: a text begins with " and does not end'),
        ("[<<1:3>>].", "f:1: no such segment of a binary: 3 bits, which are not whole bytes"),
        ("[<<1/bits>>].", "f:1: no such segment of a binary: type bits"),
        ("[40#1].", "f:1: '40#1' is no number"),
        ('["\\x{ffffff}"].', "f:1: \\x{ffffff} is no character"),
        ("[" * 200, "f:1: nested more than 100 deep"),
        ("a(b).", "f:1: syntax error before '(': '.' ends the term expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        consult(text, "f")
    assert caught.value.problems == (problem,)


@given(st.text(alphabet="[]{}(),.|:/#<>=%\"'$\\-+ \naAzé09_@eE~\x00", max_size=60))
@example("$\\x{110000}.")
@example("<<1:99999999999>>.")
@example("1.0e999.")
def test_any_text_is_read_or_refused_by_line(text: str) -> None:
    try:
        consult(text, "f")
    except ConfigError as error:
        assert all(p.startswith("f:") for p in error.problems)  # noqa: PT017
