"""Encrypted values of a configuration: what `rabbitmqctl encode` makes and the node reads.

Decides the form: base64 of salt, initialisation vector and cipher text, whose key is PBKDF2 of the
passphrase; the clear text is padded as PKCS #7 does, with one byte where a cipher has no blocks
(observed: 3.10.8, values of either side are read by the other). The clear text is a term in
external form, also of `encrypted:...` in rabbitmq.conf (RabbitMQ 4), where it is a text.

The ciphers are those of the package cryptography, imported when the first value is met.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from typing import Any

from mqd.config import etf
from mqd.config.erlang import Plain

# observed: 3.10.8 (its documentation names aes_256_cbc, sha512 and 1000: OLD_DEFAULTS)
CIPHER = "aes_128_cbc"
HASH = "sha256"
ITERATIONS = 1
DEFAULTS = (CIPHER, HASH, ITERATIONS)
OLD_DEFAULTS = ("aes_256_cbc", "sha512", 1000)
SALT_BYTES = 16
PREFIX = "encrypted:"

# name of the mirrored tool: (mode, bytes of the key, of the vector, of a block)
CIPHERS: dict[str, tuple[str, int, int, int]] = {
    f"aes_{bits}_{name}": (mode, bits // 8, 16, block)
    for name, mode, block in (
        ("cbc", "CBC", 16),
        ("ctr", "CTR", 1),
        ("cfb128", "CFB", 1),
        ("cfb8", "CFB8", 1),
        ("ofb", "OFB", 1),
    )
    for bits in (256, 192, 128)
}
CIPHERS["chacha20"] = ("", 32, 16, 1)

HASHES = {
    "blake2s": "blake2s256",
    "blake2b": "blake2b512",
    "sha3_512": "sha3-512",
    "sha3_384": "sha3-384",
    "sha3_256": "sha3-256",
    "sha3_224": "sha3-224",
    "sha512": "sha512",
    "sha384": "sha384",
    "sha256": "sha256",
    "sha224": "sha224",
    "sha": "sha1",
    "ripemd160": "ripemd160",
    "md5": "md5",
    "md4": "md4",
}


class PbeError(ValueError):
    """A value that the passphrase does not open, or a function this machine does not have."""


def encrypt(clear: bytes, passphrase: str, cipher: str, digest: str, iterations: int) -> str:
    """Base64 text. Raises PbeError where the machine lacks a function."""
    _, key_bytes, vector_bytes, block_bytes = CIPHERS[cipher]
    salt, vector = os.urandom(SALT_BYTES), os.urandom(vector_bytes)
    fill = block_bytes - len(clear) % block_bytes
    context = _cipher(cipher, _key(passphrase, salt, key_bytes, digest, iterations), vector)
    stream = context.encryptor()
    sealed = stream.update(clear + bytes((fill,)) * fill) + stream.finalize()
    return base64.b64encode(salt + vector + sealed).decode()


def decrypt(text: str, passphrase: str, cipher: str, digest: str, iterations: int) -> bytes:
    """The clear text. Raises PbeError."""
    _, key_bytes, vector_bytes, block_bytes = CIPHERS[cipher]
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise PbeError("it is not base64") from error
    sealed = data[SALT_BYTES + vector_bytes :]
    if not sealed or len(sealed) % block_bytes:
        raise PbeError("it is too short")
    salt, vector = data[:SALT_BYTES], data[SALT_BYTES : SALT_BYTES + vector_bytes]
    context = _cipher(cipher, _key(passphrase, salt, key_bytes, digest, iterations), vector)
    stream = context.decryptor()
    padded: bytes = stream.update(sealed) + stream.finalize()
    fill = padded[-1]
    if not 1 <= fill <= block_bytes or padded[-fill:] != bytes((fill,)) * fill:
        raise PbeError("the passphrase is another one, or the cipher, the hash or the iterations")
    return padded[:-fill]


def encrypt_term(value: Plain, passphrase: str, cipher: str, digest: str, iterations: int) -> str:
    """What stands in {encrypted,<<"...">>}."""
    return encrypt(etf.dumps(value), passphrase, cipher, digest, iterations)


def decrypt_term(text: str, passphrase: str, cipher: str, digest: str, iterations: int) -> Plain:
    """The inverse. Raises PbeError."""
    try:
        return etf.loads(decrypt(text, passphrase, cipher, digest, iterations))
    except PbeError:
        raise
    except ValueError as error:
        raise PbeError(str(error)) from error


def _key(passphrase: str, salt: bytes, size: int, digest: str, iterations: int) -> bytes:
    try:
        secret = passphrase.encode("utf-8", "surrogateescape")
        return hashlib.pbkdf2_hmac(HASHES[digest], secret, salt, iterations, size)
    except ValueError as error:
        raise PbeError(f"hash {digest} is not in this machine's OpenSSL") from error


def _cipher(name: str, key: bytes, vector: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    mode = CIPHERS[name][0]
    if not mode:
        return Cipher(algorithms.ChaCha20(key, vector), None)
    place: Any = modes
    if mode in ("CFB", "CFB8", "OFB"):  # newer releases have moved these and warn of the old place
        with contextlib.suppress(ImportError):
            from cryptography.hazmat.decrepit.ciphers import modes as moved

            place = moved
    return Cipher(algorithms.AES(key), getattr(place, mode)(vector))
