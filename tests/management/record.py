"""Ask a RabbitMQ that runs, and keep what it says: `python -m tests.management.record PORT NODE`.

The broker must be virgin: the requests make and change things.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.management.asked import ASKED, Ask
from tests.management.judge import Json, told
from tests.unit.management.api import Api

RECORDED = Path(__file__).with_name("recorded-3.10.8.jsonl")


def answered(api: Api, ask: Ask, node: str) -> Json:
    """One request, and what is kept of its answer."""
    body = ask.body.encode() if ask.raw else ask.body
    path = ask.path.replace("{node}", node)
    reply = api.by(ask.who)(ask.method, path, body, dict(ask.headers))
    return told(reply.status, reply.headers, reply.body, node)


def main() -> None:
    port, node = int(sys.argv[1]), sys.argv[2]
    api = Api(port)
    with RECORDED.open("w") as kept:
        for ask in ASKED:
            kept.write(json.dumps([ask.key, answered(api, ask, node)], sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
