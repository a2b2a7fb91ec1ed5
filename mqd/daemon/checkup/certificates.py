"""Facts of the certificates and keys that the configuration names.

Decides which settings those are (by their names: certfile, keyfile, cacertfile) and what can be
wrong with each: not there, not readable, not one at all, over, or a key that is of another
certificate.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from mqd.config.load import Setting
from mqd.rpc.v1 import doctor_pb2 as pb

if TYPE_CHECKING:
    from cryptography import x509

_KINDS: Final = {"certfile": "certificate", "keyfile": "key", "cacertfile": "authorities"}


def facts(settings: Iterable[Setting]) -> Iterator[pb.CertificateFacts]:
    """A row for each file named. A key is held against the certificate named beside it."""
    named = {setting.name: setting for setting in settings}
    for name, setting in named.items():
        family, _, last = name.rpartition(".")
        kind = _KINDS.get(last)
        if kind is None or not isinstance(setting.value, str) or not setting.value:
            continue
        row = pb.CertificateFacts(key=name, origin=setting.origin, path=setting.value, kind=kind)
        if not setting.key.works:
            row.without_effect = setting.key.reason
        beside = named.get(f"{family}.certfile")
        password = named.get(f"{family}.password")
        try:
            data = _read(row)
            if kind == "key":
                _look_at_key(
                    row,
                    data,
                    str(password.value) if password else None,
                    str(beside.value) if beside else None,
                )
            else:
                _look_at_certificates(row, data)
        except OSError as error:
            row.trouble = error.strerror or str(error)
        except (ValueError, TypeError) as error:
            row.trouble = f"is no {kind} in PEM: {error}" if kind != "key" else str(error)
        yield row


def _read(row: pb.CertificateFacts) -> bytes:
    with open(row.path, "rb") as file:
        row.is_open = bool(os.fstat(file.fileno()).st_mode & stat.S_IROTH)
        return file.read()


def _look_at_certificates(row: pb.CertificateFacts, data: bytes) -> None:
    """Of several, the one that is over first."""
    from cryptography import x509

    found = x509.load_pem_x509_certificates(data)
    first = min(found, key=_until_ms) if row.kind == "authorities" else found[0]
    row.subject = first.subject.rfc4514_string()
    row.from_ms = _ms(first, "not_valid_before")
    row.until_ms = _until_ms(first)


def _until_ms(certificate: x509.Certificate) -> int:
    return _ms(certificate, "not_valid_after")


def _ms(certificate: x509.Certificate, name: str) -> int:
    """Since the epoch. Releases of cryptography before 42 have the times without a zone."""
    import datetime

    when = getattr(certificate, f"{name}_utc", None)
    if when is None:
        when = getattr(certificate, name).replace(tzinfo=datetime.UTC)
    return int(when.timestamp() * 1000)


def _look_at_key(
    row: pb.CertificateFacts, data: bytes, password: str | None, certificate: str | None
) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(data, password.encode() if password else None)
    if certificate is None:
        return
    try:
        with open(certificate, "rb") as file:
            theirs = x509.load_pem_x509_certificate(file.read()).public_key()
    except (OSError, ValueError):
        return  # told of the certificate
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != theirs.public_bytes(*form):
        row.trouble = f"is not the key of {certificate}"
