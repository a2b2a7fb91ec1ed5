"""Salted password hashes, byte for byte as RabbitMQ keeps them.

Decides how a password becomes a hash and whether one fits: 4 bytes of salt, then the digest of
salt and password. An exported definitions file moves users from one broker to the other. Never
knows users. Source: RabbitMQ's "Credentials and Passwords" guide.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

SALT_BYTES: Final = 4

# by the names RabbitMQ writes into definitions and lists in list_hashes
ALGORITHMS: Final = {
    "rabbit_password_hashing_sha256": "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    "rabbit_password_hashing_md5": "md5",
}
DEFAULT_ALGORITHM: Final = "rabbit_password_hashing_sha256"


class UnknownAlgorithm(ValueError):
    """No such hashing algorithm; names the ones there are."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown hashing algorithm '{name}'; use one of {', '.join(ALGORITHMS)}")


def hash_password(password: str | bytes, algorithm: str = DEFAULT_ALGORITHM) -> bytes:
    """Salt and digest under a fresh salt. Raises UnknownAlgorithm."""
    return salted_hash(secrets.token_bytes(SALT_BYTES), password, algorithm)


def salted_hash(salt: bytes, password: str | bytes, algorithm: str = DEFAULT_ALGORITHM) -> bytes:
    """Salt and digest under a given salt of 4 bytes. Raises UnknownAlgorithm."""
    digest = ALGORITHMS.get(algorithm)
    if digest is None:
        raise UnknownAlgorithm(algorithm)
    assert len(salt) == SALT_BYTES
    raw = password.encode("utf-8", "surrogateescape") if isinstance(password, str) else password
    return salt + hashlib.new(digest, salt + raw, usedforsecurity=False).digest()


def fits(password: bytes, password_hash: bytes, algorithm: str) -> bool:
    """Whether the password is the one hashed; in constant time, and never for an empty hash.

    A blank password fits nothing, even where its hash is stored (observed: 3.10.8, add_user takes
    a blank password, login then refuses it). A hash of an unknown algorithm fits nothing either.
    """
    if not password or len(password_hash) <= SALT_BYTES or algorithm not in ALGORITHMS:
        return False
    salt = password_hash[:SALT_BYTES]
    return hmac.compare_digest(salted_hash(salt, password, algorithm), password_hash)
