"""Did you mean: Jaro distance with the limit of 3.10.8."""

from __future__ import annotations

import pytest

from mqctl import catalogue
from mqctl.suggest import jaro, suggest


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        ("Dwayne", "Duane", 0.8222222222222223),
        ("even", "odd", 0.0),
        ("same", "same", 1.0),
        ("martha", "marhta", 0.9444444444444445),
        ("", "x", 0.0),
    ],
)
def test_distance(left: str, right: str, distance: float) -> None:
    assert jaro(left, right) == pytest.approx(distance)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("list_user", "list_users"),
        ("stat", "status"),
        ("lst_queues", "list_queues"),
        ("add_usr", "add_user"),
        ("cluster-status", "cluster_status"),
        ("enable", "enable_feature_flag"),
        ("zzzzzzzzzzzz", None),
        ("LIST_USERS", None),
    ],
)
def test_verbs(typed: str, meant: str | None) -> None:
    assert suggest(typed, catalogue.names(catalogue.CTL)) == meant
