"""mqd.policies.terms: JSON as an Erlang term (all observed: 3.10.8)."""

from __future__ import annotations

from typing import Any

import pytest

from mqd.policies.terms import format_json, format_pairs


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (-1, "-1"),
        (1.0e30, "1.0e30"),
        (0.1, "0.1"),
        ("x", '<<"x">>'),
        ("", "<<>>"),
        ("a\nb", '<<"a\\nb">>'),
        ("\x01", "<<1>>"),
        ([], "[]"),
        ([1, 2, 3], "[1,2,3]"),
        ([104, 105], '"hi"'),
        (["a"], '[<<"a">>]'),
        ([1, {"a": []}], '[1,#{<<"a">> => []}]'),
        ({"b": 1, "a": 2}, '#{<<"a">> => 2,<<"b">> => 1}'),
    ],
)
def test_terms(value: Any, shown: str) -> None:
    assert format_json(value) == shown


def test_pairs() -> None:
    assert format_pairs([("a", 1), ("b", None)]) == '[{<<"a">>,1},{<<"b">>,null}]'
