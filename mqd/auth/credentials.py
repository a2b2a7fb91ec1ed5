"""What a password must be like, and how it is kept: the credential validators of RabbitMQ.

Decides whether a password is taken, with the words of RabbitMQ 3.10.8 (observed), and by which
algorithm it is hashed. Never looks at passwords that exist already.
"""

from __future__ import annotations

from dataclasses import dataclass

from mqd.auth.passwords import DEFAULT_ALGORITHM, hash_password
from mqd.auth.patterns import found_in
from mqd.errors import ErrorCode, MqdError

ACCEPT = "rabbit_credential_validator_accept_everything"
MIN_LENGTH = "rabbit_credential_validator_min_password_length"
REGEXP = "rabbit_credential_validator_password_regexp"


@dataclass(frozen=True, slots=True)
class CredentialRules:
    """min_length and regexp count where the validator is the one they belong to."""

    validator: str = ACCEPT
    min_length: int = 1
    regexp: str = ""
    algorithm: str = DEFAULT_ALGORITHM

    def check(self, password: str) -> None:
        """Raises INVALID_ARGUMENT with what is wrong."""
        if self.validator == MIN_LENGTH and len(password.encode()) < self.min_length:
            raise MqdError(
                ErrorCode.INVALID_ARGUMENT, f"minimum required password length is {self.min_length}"
            )
        if self.validator == REGEXP and not found_in(self.regexp, password):
            raise MqdError(
                ErrorCode.INVALID_ARGUMENT,
                "provided password does not match the validator regular expression",
            )

    def hashed(self, password: str) -> bytes:
        """Under a fresh salt."""
        return hash_password(password, self.algorithm)
