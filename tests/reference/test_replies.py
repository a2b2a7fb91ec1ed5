"""The reply codes as a whole: what clients are built around, sent or not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pamqp import exceptions

from mqd.amqp.replies import ReplyCode

MQD = Path(__file__).parents[2] / "mqd"


@pytest.mark.parametrize(
    "code", [c for c in ReplyCode if c is not ReplyCode.OK], ids=lambda c: c.name
)
def test_every_code_has_its_name(code: ReplyCode) -> None:
    """As another implementation of AMQP 0-9-1 has it."""
    assert exceptions.CLASS_MAPPING[int(code)].name == code.name.replace("_", "-")


@pytest.mark.parametrize("name", ["NO_CONSUMERS", "INVALID_PATH", "RESOURCE_ERROR"])
def test_codes_that_are_never_sent(name: str) -> None:
    """3.10.8 knows them and uses them nowhere; a client is not prepared for them."""
    users = [
        path.name
        for path in MQD.rglob("*.py")
        if re.search(rf"\bReplyCode\.{name}\b", path.read_text())
    ]
    assert not users
