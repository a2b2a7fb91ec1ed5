"""`mqd.plugins.table`: names, and which of them go together."""

from __future__ import annotations

import pytest

from mqd.plugins.table import (
    LIBRARIES,
    NOT_YET,
    PLUGINS,
    RETIRED,
    Plugin,
    advice,
    dependents,
    in_order,
    required,
)

TABLE = {
    "a": Plugin("a", "", needs=("b",)),
    "b": Plugin("b", "", needs=("a", "c")),
    "c": Plugin("c", ""),
    "d": Plugin("d", "", needs=("gone",)),
    "e": Plugin("e", "", needs=("c",)),
}


def test_each_name_means_one_thing() -> None:
    names = [*PLUGINS, *LIBRARIES, *RETIRED, *NOT_YET]
    assert len(names) == len(set(names))


def test_needs_are_enabled_too() -> None:
    assert required(["a", "nosuch"], TABLE) == ("a", "b", "c")
    assert required(["c"], TABLE) == ("c",)
    assert required(["d"], TABLE) == ("d",)


def test_those_that_need_it_go_with_it() -> None:
    assert dependents(["c"], TABLE) == {"a", "b", "c", "e"}
    assert dependents(["e", "nosuch"], TABLE) == {"e", "nosuch"}


def test_needs_come_first_in_a_list() -> None:
    assert in_order(["e", "b", "c", "nosuch"], TABLE) == ["c", "b", "e", "nosuch"]
    assert in_order(["b", "a"], TABLE) == ["b", "a"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rabbitmq_stomp", "this version of mqd does not have it yet"),
        ("mochiweb", "RabbitMQ does not have it any more, and nothing needs it"),
        ("xyz", "there is no such plugin"),
        (
            "rabbitmq_randm_exchange",
            "there is no such plugin; is 'rabbitmq_random_exchange' meant?",
        ),
    ],
)
def test_what_is_said_of_other_names(name: str, said: str) -> None:
    assert advice(name) == said
