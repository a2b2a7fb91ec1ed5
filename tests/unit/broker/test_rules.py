"""mqd.broker.queues.rules: of an argument and a policy, which holds."""

from __future__ import annotations

import pytest

from mqd.amqp.fields import Table
from mqd.broker.queues.rules import NO_RULES, Overflow, QueueRules, rules_of


def number(key: str, value: int) -> Table:
    return {"x-" + key: ("signedint", value)}


def text(key: str, value: str) -> Table:
    return {"x-" + key: ("longstr", value.encode())}


NUMBERS = [
    ("message-ttl", "message_ttl_ms"),
    ("expires", "expires_ms"),
    ("max-length", "max_length"),
    ("max-length-bytes", "max_length_bytes"),
    ("delivery-limit", "delivery_limit"),
    ("stream-max-segment-size-bytes", "segment_bytes"),
]


@pytest.mark.parametrize(("key", "rule"), NUMBERS)
def test_of_numbers_the_smaller_holds(key: str, rule: str) -> None:
    assert getattr(rules_of(number(key, 5), {}), rule) == 5
    assert getattr(rules_of({}, {key: 7}), rule) == 7
    assert getattr(rules_of(number(key, 5), {key: 7}), rule) == 5
    assert getattr(rules_of(number(key, 9), {key: 7}), rule) == 7
    assert getattr(rules_of({}, {}), rule) is None


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("dead-letter-exchange", "dead_letter_exchange"),
        ("dead-letter-routing-key", "dead_letter_routing_key"),
    ],
)
def test_of_words_the_argument_holds(key: str, rule: str) -> None:
    assert getattr(rules_of({}, {key: "policy"}), rule) == "policy"
    assert getattr(rules_of(text(key, "argument"), {key: "policy"}), rule) == "argument"
    assert getattr(rules_of(text(key, ""), {key: "policy"}), rule) == ""


def test_overflow_and_strategy() -> None:
    policy = {"overflow": "reject-publish", "dead-letter-strategy": "at-least-once"}
    assert rules_of({}, policy).overflow is Overflow.REJECT_PUBLISH
    assert rules_of({}, policy).dead_letter_at_least_once
    arguments = text("overflow", "drop-head") | text("dead-letter-strategy", "at-most-once")
    assert rules_of(arguments, policy).overflow is Overflow.DROP_HEAD
    assert not rules_of(arguments, policy).dead_letter_at_least_once


def test_of_ages_the_lesser_holds() -> None:
    assert rules_of(text("max-age", "1h"), {"max-age": "30m"}).max_age_s == 1800
    assert rules_of(text("max-age", "1m"), {"max-age": "30m"}).max_age_s == 60


@pytest.mark.parametrize(
    ("age", "seconds"),
    [("1Y", 31_536_000), ("1M", 2_592_000), ("1D", 86_400), ("2h", 7200), ("3m", 180), ("4s", 4)],
)
def test_units_of_an_age(age: str, seconds: int) -> None:
    assert rules_of(text("max-age", age), {}).max_age_s == seconds


@pytest.mark.parametrize(
    "key",
    ["max-in-memory-length", "max-in-memory-bytes", "max-priority", "queue-mode", "queue-version"],
)
def test_keys_without_effect_change_nothing(key: str) -> None:
    """3.10.8 takes them in a policy; how messages are kept is no matter of theirs here."""
    assert rules_of({}, {key: 1}) == QueueRules()


def test_nothing_said_is_no_rule() -> None:
    assert rules_of({}, {}) is NO_RULES
    assert not NO_RULES.is_bounded
