"""A disc member that is forgotten while it is cut off, on networks of their own (root).

    python -m tests.cluster.struck_out

The hard case of forget_cluster_node: nothing of the forgotten member ends. Its connections stand as
far as its own kernel knows, its certificate is good for the generation that it was forgotten in,
its server's disc and name are those of a voter. Decides what is done to three members, what each
must say within which time, and what nobody may hear of the one that is none; the process stays in
the switch's network, so a test runs it as a child. Exit 1 and why when something is otherwise.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from mqd.cluster.identity import Identity
from tests.cluster.trio import Member, Trio, why_no_cells
from tests.waiting import PATIENCE_S, eventually

_WATCHED_S = 16.0  # a server that gets through is a voter again within seconds
_REFUSED_S = 10.0  # the servers give a handshake five seconds
_ANSWER_S = 20.0
_CONFIG = "disk_free_limit.absolute = 1MB\n"


class Broken(Exception):
    """Something did not come to be, or did that must not."""


def record(member: Member) -> dict[str, Any]:
    """What the member knows of its cluster."""
    (path,) = (member.directory / "mnesia").glob("*/cluster.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def generation(member: Member) -> int:
    return int(record(member)["cluster"]["generation"])


def certificates(member: Member, copy: Path) -> Identity:
    """As they are now."""
    (folder,) = (member.directory / "mnesia").glob("*/cluster")
    shutil.copytree(folder, copy)
    return Identity(copy / "authority.pem", copy / "node.pem", copy / "node.key")


def is_admitted(identity: Identity, address: str, port: int) -> bool:
    """Whether what listens there goes on after it has seen the certificate."""
    context = identity.client_context()
    context.check_hostname = False
    with socket.create_connection((address, port), _ANSWER_S) as plain:
        try:
            with context.wrap_socket(plain) as link:
                return bool(link.recv(1))  # of a greeting
        except (ssl.SSLError, ConnectionError):
            return False


def routes(member: Member, other: Member) -> set[str]:
    """Connections between the two members' servers, as the first one's kernel has them."""
    said = subprocess.run(
        member._command("ss", "-tnpH", "state", "established"),
        env=member._environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    ).stdout
    words = [line.split() for line in said.splitlines() if "nats-server" in line]
    return {f"{here} {there}" for _, _, here, there, *_ in words if other.address in there}


def watch(one: Member, two: Member, gone: Member) -> None:
    """Its server goes on calling theirs, and is a voter on its own disc; theirs go on."""
    since: dict[str, float] = {}
    until = time.monotonic() + _WATCHED_S
    while (now := time.monotonic()) < until:
        seen = routes(one, gone) | routes(two, gone)
        since = {route: since.get(route, now) for route in seen}
        if stands := {route for route, began in since.items() if now - began > _REFUSED_S}:
            raise Broken(f"routes stand: {stands}")
        two.ctl("-q", "add_user", f"at{until - now}", "pw")
    if not routes(one, two):
        raise Broken("no route stands at all: the test looks amiss")


def play(trio: Trio, folder: Path) -> None:
    one, two, three = trio.members
    assert trio.lab is not None
    for member in trio:
        member.configure(_CONFIG)
    trio.start()
    trio.await_whole()
    eventually(lambda: "3 copies of the log" in "".join(map(log, trio)))
    old, earlier = certificates(three, folder / "old"), generation(one)
    here = next(each for each in record(one)["members"] if each["name"] == one.name)
    for cell in ("con1", "con2"):
        trio.lab.do("cut", cell, "con3")
    eventually(lambda: three.name not in str(one.status()["running_nodes"]))
    one.ctl("forget_cluster_node", three.name)
    eventually(lambda: min(generation(one), generation(two)) > earlier)
    two.ctl("add_user", "after", "pw")
    three.pause(child_too=False)
    trio.lab.do("heal")
    watch(one, two, three)
    new = certificates(two, folder / "new")
    for port in (here["link_port"], here["route_port"]):
        if is_admitted(old, one.address, port):
            raise Broken(f"the forgotten member's certificate is good at port {port}")
        if not is_admitted(new, one.address, port):
            raise Broken(f"not even a member's certificate is good at port {port}")
    eventually(lambda: set(one.status()["disk_nodes"]) == {one.name, two.name})
    three.resume()
    eventually(lambda: "is no member any more" in three.ctl("explain", "cluster"))
    three.ctl("reset")
    three.ctl("join_cluster", two.name)  # with the name that it had
    three.ctl("start_app")
    trio.await_whole()
    eventually(lambda: "after" in three.ctl("-q", "list_users"))


def log(member: Member) -> str:
    files = (member.directory / "log").glob("*.log")
    return "".join(path.read_text(errors="replace") for path in files)


def main() -> int:
    if why := why_no_cells():
        print(why)
        return 2
    with tempfile.TemporaryDirectory(prefix="struck-out-") as folder:
        trio = Trio("mqd", Path(folder), cells=True)
        try:
            play(trio, Path(folder))
        except (Broken, RuntimeError, TimeoutError, AssertionError):
            traceback.print_exc()
            for member in trio:
                print(member.name, log(member)[-3000:])
            return 1
        finally:
            trio.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
