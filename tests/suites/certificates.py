"""Certificates for the TLS tests of other people's suites, made new for each run.

Decides which there are: an authority, a server's for localhost, a client's, and a client's from an
authority that nobody knows. Made by the openssl program; never kept.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_DAYS = "2"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM."""

    authority: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path
    stranger_certificate: Path
    stranger_key: Path


def make(directory: Path) -> Certificates:
    """Raises RuntimeError when openssl is missing or refuses."""
    directory.mkdir(parents=True, exist_ok=True)
    _authority(directory, "authority")
    _authority(directory, "unknown")
    _leaf(directory, "server", "localhost", "authority", "serverAuth")
    _leaf(directory, "client", "guest", "authority", "clientAuth")
    _leaf(directory, "stranger", "guest", "unknown", "clientAuth")
    return Certificates(
        authority=directory / "authority.pem",
        server_certificate=directory / "server.pem",
        server_key=directory / "server.key",
        client_certificate=directory / "client.pem",
        client_key=directory / "client.key",
        stranger_certificate=directory / "stranger.pem",
        stranger_key=directory / "stranger.key",
    )


def _authority(directory: Path, name: str) -> None:
    _openssl(
        directory,
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", _DAYS),
        *("-subj", f"/CN=mqd suites {name}"),
        *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
    )


def _leaf(directory: Path, name: str, common_name: str, authority: str, usage: str) -> None:
    extensions = directory / f"{name}.ext"
    extensions.write_text(
        "subjectAltName = DNS:localhost, IP:127.0.0.1\n"
        f"extendedKeyUsage = {usage}\nbasicConstraints = CA:FALSE\n"
    )
    _openssl(
        directory,
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={common_name}"),
        *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
    )
    _openssl(
        directory,
        *("x509", "-req", "-days", _DAYS, "-in", f"{name}.csr", "-extfile", extensions.name),
        *("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial"),
        *("-out", f"{name}.pem"),
    )


def _openssl(directory: Path, *words: str) -> None:
    try:
        done = subprocess.run(
            ["openssl", *words],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        raise RuntimeError("openssl is not installed; the suites' TLS tests need it") from None
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr}")
