"""Salted hashes equal RabbitMQ's, byte for byte."""

import base64

import pytest

from mqd.auth.passwords import (
    ALGORITHMS,
    DEFAULT_ALGORITHM,
    UnknownAlgorithm,
    fits,
    hash_password,
    salted_hash,
)

# recorded: 3.10.8, rabbit_password:salted_hash(Algorithm, <<1,2,3,255>>, <<"pä$$w"/utf8>>)
RECORDED = {
    "rabbit_password_hashing_sha256": "Kmh70nNbtr+21cYRixGGnILTapyNrfnxQqLttS7rY4k=",
    "rabbit_password_hashing_sha512": "aQVK2iOAoihYBR4t6j7v0fsDzeEBAngg3WE73nz6i4/"
    "fMGNOVFxj4/1geGNkhdRvxqEsZGytEMafTh73pjBkjg==",
    "rabbit_password_hashing_md5": "zowicFoT0S24b/OwkUBilg==",
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_hash_is_salt_and_rabbitmqs_digest(algorithm):
    salt = bytes((1, 2, 3, 255))

    hashed = salted_hash(salt, "pä$$w", algorithm)

    assert hashed == salt + base64.b64decode(RECORDED[algorithm])


def test_example_of_rabbitmqs_own_guide():
    """Documentation: "Credentials and Passwords", salt 908DC60A, password test12."""
    stored = base64.b64decode("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")

    assert fits(b"test12", stored, DEFAULT_ALGORITHM)
    assert not fits(b"test13", stored, DEFAULT_ALGORITHM)


def test_each_hash_has_its_own_salt():
    first, second = hash_password("same"), hash_password("same")

    assert first != second
    assert fits(b"same", first, DEFAULT_ALGORITHM)
    assert fits(b"same", second, DEFAULT_ALGORITHM)


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x01\x02\x03\x04"])
def test_nothing_fits_a_cleared_or_broken_hash(stored):
    assert not fits(b"anything", stored, DEFAULT_ALGORITHM)


def test_blank_password_does_not_fit_its_own_hash():
    assert not fits(b"", hash_password(""), DEFAULT_ALGORITHM)


def test_hash_of_another_algorithm_does_not_fit():
    assert not fits(b"pw", hash_password("pw", "rabbit_password_hashing_md5"), DEFAULT_ALGORITHM)
    assert not fits(b"pw", hash_password("pw"), "no_such_algorithm")


def test_unknown_algorithm_is_named_with_the_known_ones():
    with pytest.raises(UnknownAlgorithm, match="'bcrypt'; use one of rabbit_password_hashing_s"):
        hash_password("pw", "bcrypt")


def test_password_of_bytes_that_are_no_utf8():
    assert fits(b"\xff\x00", hash_password(b"\xff\x00"), DEFAULT_ALGORITHM)
