"""mqd answers what RabbitMQ 3.10.8 answered to the same requests (`record.py`), in the same order.

DIFFERS names what is otherwise on purpose; an entry that is the same by now is a failure too.
"""

from __future__ import annotations

import json
import os

import pytest

import mqd.embedded
from tests.management.asked import ASKED
from tests.management.differs import DIFFERS
from tests.management.judge import differences
from tests.management.record import RECORDED, answered
from tests.unit.management.api import Api, settings

NODE = "mqd@localhost"
BESIDE = "MQD_MANAGEMENT_BESIDE"  # port:node of a virgin RabbitMQ to be asked as well


def test_every_request_is_recorded() -> None:
    keys = [json.loads(line)[0] for line in RECORDED.read_text().splitlines()]
    assert keys == [ask.key for ask in ASKED], "python -m tests.management.record"


def test_the_answers_are_rabbitmq_s() -> None:
    theirs = [json.loads(line)[1] for line in RECORDED.read_text().splitlines()]
    port, config = settings()
    found = []
    used = set()
    with mqd.embedded.Broker(plugins=["rabbitmq_management"], config=config, node=NODE):
        for ask, their in zip(ASKED, theirs, strict=True):
            our = answered(Api(port), ask, NODE)
            different = differences(ask, their, our)
            if different and ask.key in DIFFERS:
                used.add(ask.key)
                status, _ = DIFFERS[ask.key]
                if our["status"] != status:
                    found.append(f"{ask.key}: {our['status']}, where {status} is meant")
                continue
            found += different
    assert "\n".join(found) == ""
    assert sorted(set(DIFFERS) - used) == []


@pytest.mark.skipif(BESIDE not in os.environ, reason=f"{BESIDE}=port:node of a virgin RabbitMQ")
def test_the_recording_is_what_rabbitmq_says() -> None:
    port, _, node = os.environ[BESIDE].partition(":")
    for line, ask in zip(RECORDED.read_text().splitlines(), ASKED, strict=True):
        assert differences(ask, json.loads(line)[1], answered(Api(int(port)), ask, node)) == []
