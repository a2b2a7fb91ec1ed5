"""mqd.policies.validation: every setting, what it may be, and the words for what it may not.

Whole calls of the tool with their texts are in tests/ctl/scenarios/policies.yaml; here is every
row of the table (all observed: 3.10.8).
"""

from __future__ import annotations

from typing import Any

import pytest

from mqd.policies.validation import (
    OPERATOR_SETTINGS,
    SETTINGS,
    definition_fault,
    faults,
)

NATURAL = ([0, 1, 2**80], [-1, 1.0, "1", True, None, [], {}])
NAME = (["x", ""], [0, 1.5, True, None, ["a"], {"a": 1}])
ROWS: list[tuple[str, tuple[list[Any], list[Any]], str]] = [
    ("alternate-exchange", NAME, "is not a valid alternate exchange name"),
    ("dead-letter-exchange", NAME, "is not a valid dead letter exchange name"),
    ("dead-letter-routing-key", NAME, "is not a valid dead letter routing key"),
    (
        "dead-letter-strategy",
        (["at-most-once", "at-least-once"], ["x", 1]),
        "is not a valid dead letter strategy",
    ),
    ("delivery-limit", NATURAL, "is not a valid delivery limit"),
    ("expires", ([1, 2**80], [0, -1, 1.0, "1"]), "is not a valid queue expiry"),
    ("initial-cluster-size", NATURAL, "is not a valid cluster size"),
    (
        "max-age",
        (["1Y", "1M", "1D", "1h", "10m", "1s"], ["1x", "1.5h", "0s", "1", "", "D", "-1s", 5, None]),
        "is not a valid max age",
    ),
    ("max-in-memory-bytes", NATURAL, "is not a valid maximum memory in bytes"),
    ("max-in-memory-length", NATURAL, "is not a valid maximum memory in bytes"),
    ("max-length", NATURAL, "is not a valid maximum length"),
    ("max-length-bytes", NATURAL, "is not a valid maximum length in bytes"),
    ("message-ttl", NATURAL, "is not a valid message TTL"),
    (
        "overflow",
        (["drop-head", "reject-publish", "reject-publish-dlx"], ["x", "", 1]),
        "is not a valid overflow value",
    ),
    (
        "queue-leader-locator",
        (["client-local", "balanced", "random", "least-leaders"], ["x", 1]),
        "is not a valid queue leader locator value",
    ),
    (
        "queue-master-locator",
        (["min-masters", "client-local", "random"], ["bogus", 1]),
        "invalid queue-master-locator value",
    ),
    ("queue-mode", (["default", "lazy"], ["x", 1]), "is not a valid queue-mode value"),
    ("queue-version", ([1, 2], [0, 3, "1", 1.0, True]), "is not a valid queue-version value"),
    (
        "stream-max-segment-size-bytes",
        ([0, 3_000_000_000], [-1, 3_000_000_001, "x"]),
        "is not a valid segment size",
    ),
]


@pytest.mark.parametrize(("key", "values", "words"), ROWS, ids=[row[0] for row in ROWS])
def test_values(key: str, values: tuple[list[Any], list[Any]], words: str) -> None:
    for good in values[0]:
        assert definition_fault({key: good}, SETTINGS) is None, good
    for bad in values[1]:
        fault = definition_fault({key: bad}, SETTINGS)
        assert fault is not None, bad
        assert fault.endswith(f" {words}")


def test_every_setting_has_a_row_or_is_of_mirroring() -> None:
    assert {key for key in SETTINGS if not key.startswith("ha-")} == {row[0] for row in ROWS}


def test_operators_may_only_limit() -> None:
    assert set(OPERATOR_SETTINGS) == {
        "delivery-limit",
        "expires",
        "max-in-memory-bytes",
        "max-in-memory-length",
        "max-length",
        "max-length-bytes",
        "message-ttl",
    }
    assert faults({"overflow": "drop-head"}, "all", None, operator=True) == [
        '[{<<"overflow">>,<<"drop-head">>}] are not recognised policy settings'
    ]
    assert faults({"max-length": 1}, "all", None, operator=True) == []


def test_a_value_that_is_wrong_is_named_before_settings_that_nobody_knows() -> None:
    assert definition_fault({"aaa": 1, "max-length": -1}, SETTINGS) == (
        "-1 is not a valid maximum length"
    )
    assert definition_fault({"b": 1, "a": [True, None]}, SETTINGS) == (
        '[{<<"a">>,[true,null]},{<<"b">>,1}] are not recognised policy settings'
    )


def test_everything_that_is_wrong_in_one_go() -> None:
    assert faults({}, "tables", '{"missing )",1}', operator=False) == [
        "no policy provided",
        "apply-to 'tables' unrecognised; should be 'queues', 'exchanges' or 'all'",
        'pattern should be regular expression but is invalid: {"missing )",1}',
    ]


MIRRORING: list[tuple[dict[str, Any], str | None]] = [
    ({"ha-mode": "all"}, None),
    ({"ha-mode": "all", "ha-params": 1}, 'ha-mode="all" does not take parameters'),
    ({"ha-mode": "exactly", "ha-params": 2}, None),
    ({"ha-mode": "exactly"}, 'ha-mode="exactly" takes an integer, none given'),
    ({"ha-mode": "exactly", "ha-params": 0}, 'ha-mode="exactly" takes an integer, 0 given'),
    ({"ha-mode": "nodes", "ha-params": ["a@b"]}, None),
    ({"ha-mode": "nodes"}, 'ha-mode="nodes" takes a list, none given'),
    ({"ha-mode": "nodes", "ha-params": "x"}, 'ha-mode="nodes" takes a list, <<"x">> given'),
    ({"ha-mode": "nodes", "ha-params": []}, 'ha-mode="nodes" list must be non-empty'),
    (
        {"ha-mode": "nodes", "ha-params": [1, "a"]},
        'ha-mode="nodes" takes a list of strings, [1] was not a string',
    ),
    ({"ha-mode": "x"}, '<<"x">> is not a valid ha-mode value'),
    ({"ha-mode": 1}, "1 is not a valid ha-mode value"),
    (
        {"ha-params": 2},
        "ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown",
    ),
    ({"ha-mode": "all", "ha-sync-mode": "manual", "ha-sync-batch-size": 1}, None),
    (
        {"ha-mode": "all", "ha-sync-mode": "x"},
        'ha-sync-mode must be "manual" or "automatic", got <<"x">>',
    ),
    (
        {"ha-mode": "all", "ha-sync-batch-size": 0},
        "ha-sync-batch-size takes an integer greater than 0, 0 given",
    ),
    (
        {"ha-mode": "all", "ha-promote-on-shutdown": 1},
        'ha-promote-on-shutdown must be "always" or "when-synced", got 1',
    ),
    (
        {"ha-mode": "all", "ha-promote-on-failure": []},
        'ha-promote-on-failure must be "always" or "when-synced", got []',
    ),
]


@pytest.mark.parametrize(("definition", "fault"), MIRRORING)
def test_mirroring(definition: dict[str, Any], fault: str | None) -> None:
    assert definition_fault(definition, SETTINGS) == fault
