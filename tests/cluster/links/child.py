"""A node in a process of its own, for tests that stop and kill it.

Decides nothing: node `b` on the given port, with member `a`; what it takes goes to its output, one
line each. `python -m tests.cluster.links.child FOLDER PORT EPOCH`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mqd.cluster.links.mesh import LinkMesh
from mqd.daemon.clock import SystemClock
from mqd.metadata.commands import Member
from tests.cluster.links.nodes import HOST, incarnation, passport


def say(line: str) -> None:
    print(line, flush=True)


async def echo(_peer: str, data: bytes) -> bytes:
    return data


async def main(folder: Path, port: int, epoch: int) -> None:
    mesh = LinkMesh(passport(folder, "b", epoch=epoch), SystemClock())
    mesh.on_change(lambda peer, up: say(f"{'+' if up else '-'}{peer}"))
    mesh.take("t", lambda peer, data: say(f"{peer}:{data.decode()}"))
    mesh.answer("echo", echo)
    await mesh.listen(HOST, [port])
    mesh.use_members({"a": Member("a", incarnation("a"), 1, "disc", HOST)})
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
