"""mqd.erlang: expressions come to a value, a failure in Erlang's words, or a bound; never more.

What values and failures look like is compared with RabbitMQ's in tests/ctl.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.erlang.evaluator import Evaluator
from mqd.erlang.failures import Thrown, TooLong
from mqd.erlang.lexer import Unscannable
from mqd.erlang.library import PURE
from mqd.erlang.parser import Unparsable, parse
from mqd.erlang.terms import Atom, Term


def worth(text: str, **scope: Term) -> Term:
    return Evaluator(PURE).run(parse(text), dict(scope))


@pytest.mark.parametrize(
    "text",
    [
        "lists:seq(1, 1000000000).",
        "lists:duplicate(1000000000, a).",
        "1 bsl 100000000.",
        "F = fun(G) -> G(G) end, F(F).",
        "[1 || _ <- lists:seq(1, 1000), _ <- lists:seq(1, 1000)].",
    ],
)
def test_what_would_take_for_ever_is_refused(text: str) -> None:
    with pytest.raises(TooLong):
        worth(text)


def test_variables_of_a_comprehension_stay_inside() -> None:
    assert worth("X = 1, [X || X <- [2, 3]], X.") == 1


def test_a_clause_that_does_not_fit_binds_nothing() -> None:
    assert worth("case {b, 2} of {a, N} -> N; {b, M} -> [M] end.") == [2]


def test_maps_find_lists_by_their_content() -> None:
    assert worth('maps:get("k", #{"k" => 1}).') == 1
    assert worth('maps:keys(#{"k" => 1}).') == [[ord("k")]]


def test_wrong_kinds_are_badarg() -> None:
    with pytest.raises(Thrown) as caught:
        worth("atom_to_list(1).")
    assert caught.value.reason == Atom("badarg")


_SOURCE = """
1 -2 1.5 a 'b' "s" <<1>> X _ ( ) { } [ ] #{ => , ; | || <- -> fun end case of if begin when
+ - * / div bsl == =:= ++ not catch lists:map lists:seq hd erlang:error . $a
"""
_WORDS = st.sampled_from(_SOURCE.split())


@given(st.lists(_WORDS, max_size=14))
def test_any_words_end_in_a_value_or_a_known_failure(words: list[str]) -> None:
    with contextlib.suppress(Unscannable, Unparsable, Thrown, TooLong):
        worth(" ".join(words) + " .")


@given(st.text(max_size=40))
def test_any_text_is_scanned_or_refused(text: str) -> None:
    with contextlib.suppress(Unscannable, Unparsable):
        parse(text)
