"""Fields with rules of their own: passwords, tags, patterns, and what 3.10.8 says of wrong ones.

Decides what such a field is read as. Never looks at anything but the object it is in.
"""

from __future__ import annotations

import base64
import binascii
import html
from collections.abc import Callable
from typing import Any

from mqd.auth.passwords import ALGORITHMS, DEFAULT_ALGORITHM
from mqd.auth.patterns import InvalidPattern, compile_pattern
from mqd.definitions.values import Wrong, kind_of, text
from mqd.errors import ErrorCode

Json = Any
Object = dict[str, Json]


class Known(Wrong):
    """What 3.10.8 has words for."""

    def __init__(
        self, reason: str, recorded: str, code: ErrorCode = ErrorCode.INVALID_ARGUMENT
    ) -> None:
        super().__init__(reason)
        self.recorded = recorded
        self.code = code


def not_valid(found: list[str], path: str) -> Known:
    """3.10.8 writes what is wrong with a policy as if a browser were to read it."""
    lines = html.escape("\n".join(found), quote=False)
    return Known("; ".join(found), f"Validation failed\n\n{lines}\n ({path})")


def password(
    item: Object, hash_password: Callable[[str], bytes], *, old: bool
) -> tuple[bytes, str]:
    """Hash and algorithm. Neither password nor hash: no password fits. old: before 3.6."""
    if "password" in item:
        if "password_hash" in item:
            known = "both_password_and_password_hash_are_provided"
            raise Known("has a password and a password_hash: leave one out", known)
        return hash_password(text(item, "password")), DEFAULT_ALGORITHM
    oldest = "rabbit_password_hashing_md5" if old else DEFAULT_ALGORITHM
    algorithm = text(item, "hashing_algorithm", oldest)
    if algorithm not in ALGORITHMS:
        raise Wrong(f"unknown hashing_algorithm '{algorithm}': there are {', '.join(ALGORITHMS)}")
    encoded = text(item, "password_hash", "")
    try:
        return base64.b64decode(encoded, validate=True), algorithm
    except (binascii.Error, ValueError):
        known = f'{{:not_base64, "{encoded}"}}'
        raise Known("password_hash must be base64", known) from None


def tags_of(tags: Json) -> tuple[str, ...]:
    """A list, or one text with commas."""
    if isinstance(tags, str):
        return tuple(filter(None, (tag.strip() for tag in tags.split(","))))
    if not isinstance(tags, list):
        raise Wrong(f"tags must be a list or a text, but are {kind_of(tags)}")
    for tag in tags:
        if not isinstance(tag, str):
            raise Wrong(f"tags must be texts, but one is {kind_of(tag)}")
    return tuple(tags)


def pattern(item: Object, key: str) -> str:
    """A regular expression."""
    expression = text(item, key)
    try:
        compile_pattern(expression)
    except InvalidPattern as error:
        raise Known(
            f"{key} must be a regular expression, but {error.reason} at offset {error.offset}",
            error.detail,
        ) from None
    return expression


def is_same(one: Json, other: Json) -> bool:
    """Equal as JSON, where 1 is neither true nor 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def is_before_3_6(version: str) -> bool:
    """Their users have MD5 hashes and do not say so."""
    numbers = version.split(".")[:2]
    return all(each.isdigit() for each in numbers) and tuple(map(int, numbers)) < (3, 6)
