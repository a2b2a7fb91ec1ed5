"""How an expression covers a name."""

import pytest

from mqd.auth.patterns import InvalidPattern
from mqd.auth.permissions import check_pattern, covers, expand


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("", "", True),
        ("", "q", False),  # stands for '^$'
        ("^$", "q", False),
        (".*", "", True),
        ("ord", "my-orders", True),  # searched for, not anchored
        ("^ord", "my-orders", False),
        ("^(amq\\.gen.*|amq\\.default)$", "amq.gen-x", True),
        ("^(amq\\.gen.*|amq\\.default)$", "amqXdefault", False),
        ("^...$", "né", True),  # bytes, as RabbitMQ compares them
        ("^..$", "né", False),
        ("^\\w+$", "né", False),  # 0xA9 is no letter of Latin-1
        ("^a$", "a\n", True),
        ("^a\\z", "a\n", False),
        ("(", "anything", False),
    ],
)
def test_covers(pattern, name, covered):
    assert covers(pattern, name) is covered


def test_check_pattern():
    check_pattern("^ok.*")
    with pytest.raises(InvalidPattern):
        check_pattern("*")


def test_expand_fills_in_names_unquoted():
    assert expand("^{username}-{vhost}-{other}", "a.b", "/v") == "^a.b-/v-{other}"
