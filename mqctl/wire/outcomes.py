"""How a call can end badly: two exceptions, apart from the code that speaks HTTP/2.

Decides nothing. Calls that reach no node import this alone.
"""

from __future__ import annotations


class Broken(Exception):
    """The peer ended the connection or speaks no gRPC."""


class Status(Exception):
    """A call that ended with a status other than OK. trailers: ASCII metadata by name."""

    def __init__(self, code: int, message: str, trailers: dict[str, str]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.trailers = trailers
