"""pytest plugin: the fixture `mqd_broker`, a broker of one's own for a test session.

Decides the fixture's name and scope. pytest loads this file in every run of an environment where
mqd is installed, so nothing of mqd is imported until a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mqd.embedded import Broker


@pytest.fixture(scope="session")
def mqd_broker() -> Iterator[Broker]:
    """A running AMQP broker on a free port: `.url`, `.host`, `.port`; user and password guest.

    One for the session, so queues live as long as it does: declare exclusive ones, or delete
    what a test declared.
    """
    from mqd.embedded import Broker

    with Broker() as broker:
        yield broker
