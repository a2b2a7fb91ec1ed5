"""Rules for new passwords (observed: 3.10.8)."""

from __future__ import annotations

import pytest

from mqd.auth.credentials import MIN_LENGTH, REGEXP, CredentialRules
from mqd.auth.passwords import fits
from mqd.errors import MqdError


def test_any_password_is_taken_unless_somebody_says_otherwise() -> None:
    CredentialRules(min_length=50, regexp="^x$").check("")


def test_a_length() -> None:
    rules = CredentialRules(MIN_LENGTH, 5)
    rules.check("abcde")
    with pytest.raises(MqdError, match="minimum required password length is 5"):
        rules.check("abcd")


def test_an_expression() -> None:
    rules = CredentialRules(REGEXP, regexp="^[a-z]+$")
    rules.check("abc")
    with pytest.raises(MqdError, match="does not match the validator regular expression"):
        rules.check("ab1")


def test_the_hash_is_of_the_algorithm() -> None:
    name = "rabbit_password_hashing_sha512"
    assert fits(b"x", CredentialRules(algorithm=name).hashed("x"), name)
