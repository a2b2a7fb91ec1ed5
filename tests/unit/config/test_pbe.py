"""Encrypted values: read as RabbitMQ 3.10.8 wrote them, and what is written is read again."""

from __future__ import annotations

import pytest

from mqd.config import pbe

# written by rabbitmqctl 3.10.8 encode, passphrase "pass": cipher, hash, iterations, text, term
RECORDED = [
    (*pbe.DEFAULTS, "KEEk1M8LiUVwIn8CxI1bmh8jpdGptxDdRfKJAwsHcX86euDBmagNA4VDxo0hACLr", b"guest"),
    (
        "chacha20",
        *pbe.DEFAULTS[1:],
        "DQRkIc6N7tT1eqfO9W3gNlHCZLM5RDk+ikQVSWwgYFDK0JjrWtm6n4wICxEViJ0fdXd5OZCupfpQ9mPK7vyMNdJG"
        "IeAcr+LJKAnFjO2Ao4GbQu5GZJ8tQbk59bNYRT6Jzrw=",
        None,
    ),
    (
        "aes_128_cbc",
        "sha3_512",
        1,
        "MHSmEmvJgvRbyVkAEZuiR58sV8v4ZYCLG3mxhwkT5CAe6WjpV+wYwaMR6wHhYqqU",
        "x",
    ),
    (
        "aes_128_cbc",
        "blake2b",
        1,
        "B6H9bqV4wlwx4cQNnlv93mo5f+Ryjo6rWmqPhYiB6ecKxrzTILo2he+o98Yk9MtJ",
        "x",
    ),
]


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: f"{row[0]} {row[1]}")
def test_recorded_values_are_read(row: tuple[str, str, int, str, object]) -> None:
    cipher, digest, iterations, text, expected = row
    try:
        found = pbe.decrypt_term(text, "pass", cipher, digest, iterations)
    except pbe.PbeError as error:
        assert cipher == "chacha20"  # its term has an improper list, which no configuration has
        assert "list" in str(error)  # noqa: PT017
    else:
        assert found == expected


@pytest.mark.parametrize("cipher", pbe.CIPHERS)
def test_every_cipher_opens_what_it_closed(cipher: str) -> None:
    for clear in (b"", b"x" * 15, b"x" * 16):
        text = pbe.encrypt(clear, "p", cipher, "sha512", 3)
        assert pbe.decrypt(text, "p", cipher, "sha512", 3) == clear


def test_a_wrong_passphrase_or_text_is_refused() -> None:
    text = pbe.encrypt_term(b"x", "p", *pbe.DEFAULTS)
    for broken in ("", "abc", "é", text[:24], text[:-8]):
        with pytest.raises(pbe.PbeError):
            pbe.decrypt_term(broken, "p", *pbe.DEFAULTS)
    with pytest.raises(pbe.PbeError):
        pbe.decrypt_term(text, "q", *pbe.DEFAULTS)
