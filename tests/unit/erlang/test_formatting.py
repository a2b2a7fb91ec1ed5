"""mqd.erlang.formatting: io:format's directives (observed: 3.10.8 on OTP 25)."""

from __future__ import annotations

import pytest

from mqd.erlang.failures import TooLong
from mqd.erlang.formatting import fill
from mqd.erlang.terms import Atom, Term, chars


@pytest.mark.parametrize(
    ("form", "given", "text"),
    [
        ("a~~b~n", [], "a~b\n"),
        ("~s: ~s~n", [Atom("rabbit@a"), chars("b, c")], "rabbit@a: b, c\n"),
        ("~ts ~s", ["żó".encode(), [chars("a"), b"b", 99]], "żó abc"),
        ("~b ~c", [12, 97], "12 a"),
        ("~p", [{Atom("a"): 1.5}], "#{a => 1.5}"),
        (
            "~p",
            [(Atom("ok"), [b"abc", b"\x01\xff", chars('x"y'), Atom("rabbit@host"), Atom("A b")])],
            '{ok,[<<"abc">>,<<1,255>>,"x\\"y",rabbit@host,\'A b\']}',
        ),
        ("~w", [[b"ab", chars("ab"), [], Atom("end")]], "[<<97,98>>,[97,98],[],'end']"),
    ],
)
def test_terms_in_a_text(form: str, given: list[Term], text: str) -> None:
    assert fill(form, given) == text


@pytest.mark.parametrize(
    ("form", "given"), [("~s", []), ("", [1]), ("~s", [1]), ("~b", [Atom("a")])]
)
def test_terms_that_do_not_fit(form: str, given: list[Term]) -> None:
    with pytest.raises(ValueError):
        fill(form, given)


@pytest.mark.parametrize("form", ["~10s", "~e", "~"])
def test_what_is_not_known_is_refused(form: str) -> None:
    with pytest.raises(TooLong):
        fill(form, [1.5])
