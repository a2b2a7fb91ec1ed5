"""`mqd.policies.values`: what an age is, and that arguments and policies take the same words."""

from __future__ import annotations

import pytest

from mqd.broker.queue_arguments import CHECKS
from mqd.broker.queues.rules import Overflow
from mqd.policies import values
from mqd.policies.validation import SETTINGS, definition_fault


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1Y", 31_536_000),
        ("1M", 2_592_000),
        ("1D", 86_400),
        ("2h", 7200),
        ("03m", 180),
        ("4s", 4),
        ("4s\n", 4),
        ("1000000000000000s", 10**15),
    ],
)
def test_an_age(text: str, seconds: int) -> None:
    assert values.age_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "1",
        "0s",
        "00s",
        "1w",
        "1H",
        "-1s",
        "+1s",
        " 1s",
        "1s ",
        "1.5h",
        "1h30m",
        "1_0s",
        "٣s",
    ],
)
def test_what_is_none(text: str) -> None:
    """3.10.8 ends the connection where it does not begin with a digit; else it says the same."""
    assert values.age_s(text) is None
    assert CHECKS["x-max-age"](("longstr", text.encode()), {}) == "invalid_max_age"
    assert definition_fault({"max-age": text}, SETTINGS) is not None


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("overflow", values.OVERFLOWS),
        ("dead-letter-strategy", values.DEAD_LETTER_STRATEGIES),
        ("queue-mode", values.QUEUE_MODES),
        ("queue-leader-locator", values.LEADER_LOCATORS),
        ("queue-master-locator", values.MASTER_LOCATORS),
    ],
)
def test_words_are_taken_in_both_places(key: str, words: tuple[str, ...]) -> None:
    for word in words:
        assert CHECKS["x-" + key](("longstr", word.encode()), {}) is None
        assert definition_fault({key: word}, SETTINGS) is None
    assert CHECKS["x-" + key](("longstr", b"bogus"), {}) is not None
    assert definition_fault({key: "bogus"}, SETTINGS) is not None


def test_every_overflow_has_its_meaning() -> None:
    assert tuple(each.value for each in Overflow) == values.OVERFLOWS
