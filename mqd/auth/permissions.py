"""Permissions: regular expressions over names of resources, and over routing keys for topics.

Decides whether a permission covers a name. An empty expression covers nothing but the empty name
(it stands for '^$'); any other is searched for, not anchored; the default exchange goes by
'amq.default'. Names and expressions are compared as bytes, as RabbitMQ does: a dot is one byte.
Never decides who holds which permission. Source: RabbitMQ's "Access Control" guide; RabbitMQ
3.10: rabbit_auth_backend_internal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mqd.auth.patterns import compile_pattern, found_in

Kind = Literal["configure", "write", "read"]
DEFAULT_EXCHANGE: Final = "amq.default"  # how permissions call the exchange of the empty name


@dataclass(frozen=True, slots=True)
class Permission:
    """What a user may do in a vhost."""

    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """Which routing keys a user may write to and read from one topic exchange."""

    write: str
    read: str


def check_pattern(pattern: str) -> None:
    """Refuse an expression that cannot be compiled. Raises InvalidPattern."""
    compile_pattern(pattern)


def covers(pattern: str, name: str) -> bool:
    """Whether the expression covers the name.

    False for an expression that cannot be compiled: none gets in by the front door, and one that
    an imported file brought must not open anything.
    """
    return found_in(pattern or "^$", name)


def expand(pattern: str, username: str, vhost: str) -> str:
    """A topic expression with {username} and {vhost} filled in, as they are, unquoted.

    observed: 3.10.8 quotes neither, so that a name full of dots matches as an expression.
    """
    return pattern.replace("{username}", username).replace("{vhost}", vhost)
