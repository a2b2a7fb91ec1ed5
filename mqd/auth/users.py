"""Who may log in: the user as it is stored.

Decides the shape of a user. Never checks a password (`mqd.auth.passwords`) or a permission.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mqd.auth.passwords import DEFAULT_ALGORITHM

ADMINISTRATOR = "administrator"
IMPERSONATOR = "impersonator"  # may set the user-id property to another's name


@dataclass(frozen=True, slots=True)
class User:
    """A user of the internal database.

    password_hash: salt and digest as `mqd.auth.passwords` makes them; empty when no password
    fits (clear_password). hashing_algorithm: one of `mqd.auth.passwords.ALGORITHMS`. limits:
    "max-connections", "max-channels".
    """

    name: str
    password_hash: bytes = b""
    hashing_algorithm: str = DEFAULT_ALGORITHM
    tags: tuple[str, ...] = ()
    limits: dict[str, int] = field(default_factory=dict, hash=False)

    @property
    def is_impersonator(self) -> bool:
        return IMPERSONATOR in self.tags
