"""The broker that other people's clients talk to: one mqd process for the whole directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import nodes


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """(host, port) of a running broker; guest may log in."""
    outside = nodes.external()
    if outside is not None:
        yield outside
        return
    with nodes.Node(tmp_path_factory.mktemp("clients")) as node:
        yield node.address


@pytest.fixture
def url(address: tuple[str, int]) -> str:
    return f"amqp://guest:guest@{address[0]}:{address[1]}/"
