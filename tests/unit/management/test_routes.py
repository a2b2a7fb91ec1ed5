"""The table of routes: what each row asks for, and which path means which."""

from __future__ import annotations

import pytest

from mqd.management.access import Need
from mqd.management.routes import ROUTES, Routes

TABLE = Routes(ROUTES)


def test_rows_are_given_once() -> None:
    rows = [(row.method, row.path) for row in ROUTES]
    assert len(rows) == len(set(rows))


def test_who_needs_no_login() -> None:
    open_to_all = {row.path for row in ROUTES if row.need is Need.NOTHING}
    assert open_to_all == {"/api/auth", "/api/login"}


def test_changes_of_the_cluster_need_an_administrator() -> None:
    own = ("/api/connections/", "/api/queues/", "/api/exchanges/", "/api/bindings/", "/api/login")
    by_policymakers = ("/api/policies/", "/api/parameters/", "/api/global-parameters/")
    for row in ROUTES:
        if row.method != "GET" and not row.path.startswith(own):
            needs = {Need.POLICYMAKER} if row.path.startswith(by_policymakers) else set()
            assert row.need in {Need.ADMINISTRATOR, *needs}, row


def test_rows_below_a_vhost_ask_for_it() -> None:
    for row in ROUTES:
        if "{vhost}" in row.path and row.path != "/api/consumers/{vhost}":  # which filters
            assert row.need not in (Need.NOTHING, Need.LOGIN, Need.PARAMETERS), row


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("api/users/without-permissions", "/api/users/without-permissions"),
        ("api/users/joe", "/api/users/{user}"),
        ("api/connections/username/joe", "/api/connections/username/{user}"),
        ("api/connections/c/channels", "/api/connections/{connection}/channels"),
        ("api/vhosts/v/topic-permissions", "/api/vhosts/{vhost}/topic-permissions"),
        ("api/parameters/c/v", "/api/parameters/{component}/{vhost}"),
    ],
)
def test_words_before_names(path: str, pattern: str) -> None:
    found = TABLE.find(path.split("/"))
    assert found is not None
    assert "/" + "/".join(found[0].parts) == pattern


def test_what_is_no_path() -> None:
    assert TABLE.find([]) is None
    assert TABLE.find(["api", "queues", "a", "b", "c", "d", "e", "f", "g"]) is None
