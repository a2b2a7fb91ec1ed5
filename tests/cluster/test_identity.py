"""Certificates out of the cookie: members reach each other, strangers and former members do not."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import stat
from pathlib import Path

import pytest

from mqd.cluster.identity import Identity, issue, name_of, node_of, secret


def identity(
    folder: Path, node: str, cookie: str = "C", cluster: str = "id", generation: int = 1
) -> Identity:
    return issue(folder / node, cookie, cluster, generation, node, ["localhost", "127.0.0.1"])


def greet(server: Identity, client: Identity, hostname: str) -> tuple[str | None, str | None]:
    """The handshake and one byte each way; (whom the server saw, whom the client saw)."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    accepting = server.server_context().wrap_bio(to_server, to_client, server_side=True)
    connecting = client.client_context().wrap_bio(to_client, to_server, server_hostname=hostname)
    for _ in range(4):
        for side in (connecting, accepting):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    accepting.write(b"a")
    assert connecting.read(1) == b"a"
    connecting.write(b"b")
    assert accepting.read(1) == b"b"
    assert connecting.version() == "TLSv1.3"
    return node_of(accepting), node_of(connecting)


def test_members_accept_what_each_of_them_issued_for_itself(tmp_path: Path) -> None:
    a, b = identity(tmp_path, "rabbit@a"), identity(tmp_path, "rabbit@bücher")
    for hostname in ("localhost", "127.0.0.1", name_of("rabbit@a")):
        assert greet(a, b, hostname) == ("rabbit@bücher", "rabbit@a")


@pytest.mark.parametrize(
    "other", [{"cookie": "D"}, {"cluster": "other"}, {"generation": 2}], ids=lambda o: next(iter(o))
)
def test_another_cookie_cluster_or_generation_is_refused(
    tmp_path: Path, other: dict[str, object]
) -> None:
    a = identity(tmp_path, "rabbit@a")
    b = identity(tmp_path, "rabbit@b", **other)  # type: ignore[arg-type]
    for server, client in ((a, b), (b, a)):
        with pytest.raises(ssl.SSLError):
            greet(server, client, "localhost")


def test_who_reads_while_they_are_renewed_finds_a_pair(tmp_path: Path) -> None:
    """The files are written one after the other, and nats-server may read in between."""
    old, new = tmp_path / "old", tmp_path / "new"
    made = issue(new, "C", "id", 1, "rabbit@a", ["localhost"])
    shutil.copytree(new, old)
    renewed = issue(new, "C", "id", 2, "rabbit@a", ["localhost"], keeps_key=True)
    assert renewed == made
    assert (old / "node.pem").read_bytes() != renewed.certificate.read_bytes()
    for certificate, key in (
        (old / "node.pem", renewed.key),
        (renewed.certificate, old / "node.key"),
    ):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    other = identity(tmp_path, "rabbit@b", generation=2)
    assert greet(renewed, other, "localhost") == ("rabbit@b", "rabbit@a")
    renewed.key.write_text("no key")
    again = issue(new, "C", "id", 3, "rabbit@a", ["localhost"], keeps_key=True)
    again.server_context()
    assert (
        issue(new, "C", "id", 3, "rabbit@a", ["localhost"]).key.read_bytes()
        != (old / "node.key").read_bytes()
    )


def test_a_link_reaches_the_node_that_it_means(tmp_path: Path) -> None:
    a, b = identity(tmp_path, "rabbit@a"), identity(tmp_path, "rabbit@b")
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(a, b, name_of("rabbit@c"))


def test_files_are_for_their_user_alone_and_are_replaced(tmp_path: Path) -> None:
    first = identity(tmp_path, "rabbit@a")
    before = first.key.read_bytes()
    again = identity(tmp_path, "rabbit@a", generation=2)
    assert again == first
    assert again.key.read_bytes() != before
    for path in again.key.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(again.key.parent.stat().st_mode) == 0o700


def test_secrets_differ_by_every_field() -> None:
    fields = ("cookie", "id", 1, "a"), ("cookies", "id", 1, "a"), ("cookie", "id", 1, "b")
    others = ("cookie", "i", 1, "a"), ("cookie", "id", 11, "a")
    assert len({secret(*each) for each in fields + others}) == 5
