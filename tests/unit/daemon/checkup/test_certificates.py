"""Certificates that the configuration names."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mqd.config.load import Setting
from mqd.config.schema import Key, find
from mqd.daemon.checkup import certificates
from mqd.rpc.v1 import doctor_pb2 as pb

UNTIL = datetime.datetime(2031, 5, 4, tzinfo=datetime.UTC)


def make(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(UNTIL - datetime.timedelta(days=30))
        .not_valid_after(UNTIL)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(encoding))
    files[1].write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    files[1].chmod(0o600)
    return files


def facts(**paths: object) -> dict[str, pb.CertificateFacts]:
    settings = []
    for name, path in paths.items():
        key = find(f"ssl_options.{name}")
        assert isinstance(key, Key)
        settings.append(Setting(f"ssl_options.{name}", key, str(path), "r.conf:1"))
    return {row.key.rpartition(".")[2]: row for row in certificates.facts(settings)}


def test_a_pair(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "con1")
    found = facts(certfile=certificate, keyfile=key, cacertfile=certificate)
    assert found["certfile"].subject == "CN=con1"
    assert found["certfile"].until_ms == UNTIL.timestamp() * 1000
    assert found["certfile"].from_ms < found["certfile"].until_ms
    assert found["cacertfile"].kind == "authorities"
    assert [row.trouble for row in found.values()] == ["", "", ""]
    assert not found["keyfile"].is_open


def test_the_key_of_another(tmp_path: Path) -> None:
    certificate, _ = make(tmp_path, "con1")
    _, key = make(tmp_path, "con2")
    key.chmod(0o644)
    found = facts(certfile=certificate, keyfile=key)["keyfile"]
    assert found.trouble == f"is not the key of {certificate}"
    assert found.is_open


@pytest.mark.parametrize("name", ["certfile", "keyfile"])
def test_files_that_are_not_what_they_should_be(tmp_path: Path, name: str) -> None:
    assert facts(**{name: tmp_path / "no"})[name].trouble == "No such file or directory"
    path = tmp_path / "x"
    path.write_text("hello")
    assert facts(**{name: path})[name].trouble != ""
