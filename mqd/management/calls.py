"""One request to the API and what it is answered: what every handler is given and returns.

Decides how a body is read as JSON, how an answer is written, and the forms of refusals (RabbitMQ:
rabbit_mgmt_util; observed: 3.10.8). Never reads a socket and never decides what a request means.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mqd import limits
from mqd.admin.context import AdminContext, NodeControl
from mqd.auth.users import User
from mqd.broker.broker import Broker
from mqd.broker.vhost import VHost
from mqd.metadata.machine import State

if TYPE_CHECKING:
    from mqd.management.samples import Samples

Json = Any
T = TypeVar("T")

_NOT_FOUND: Final = ("Object Not Found", "Not Found")


class Refused(Exception):
    """The request is answered with an error. reason None: an empty body."""

    def __init__(self, status: int, error: str, reason: Json | None) -> None:
        super().__init__(f"{status} {error}: {reason}")
        self.status = status
        self.error = error
        self.reason = reason


def bad_request(reason: str) -> Refused:
    return Refused(400, "bad_request", reason)


def not_found(reason: str | None = None) -> Refused:
    """The thing that the path names; or, with a reason, one that the request needs."""
    if reason is None:
        return Refused(404, *_NOT_FOUND)
    return Refused(404, "not_found", reason)


def not_authorised(reason: str) -> Refused:
    return Refused(401, "not_authorised", reason)


@dataclass(slots=True)
class Answer:
    """body: as it is sent. Without one: nothing is said of its type either."""

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


CREATED: Final = 201
DONE: Final = 204


def created(is_new: bool) -> Answer:
    """Of a PUT."""
    return Answer(CREATED if is_new else DONE)


def done() -> Answer:
    return Answer(DONE)


@dataclass(slots=True)
class Call:
    """names: what the path says, decoded; query: the first value of each parameter."""

    node: NodeControl
    samples: Samples
    user: User
    names: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    address: str = ""
    password: bytes = field(default=b"", repr=False)

    @property
    def ctx(self) -> AdminContext:
        return AdminContext(self.node, self.user.name)

    @property
    def broker(self) -> Broker:
        return self.ctx.broker

    @property
    def state(self) -> State:
        return self.ctx.metadata.state

    @property
    def vhost(self) -> VHost:
        """The one in the path. Raises Refused, as for any object that is not there."""
        found = self.broker.vhosts.get(self.names["vhost"])
        if found is None:
            raise not_found()
        return found

    def flag(self, name: str) -> bool:
        """Of a query parameter."""
        return self.query.get(name) == "true"

    def json(self) -> dict[str, Json]:
        """The body, which must be an object; an empty one is. Raises Refused."""
        if not self.body.strip():
            return {}
        value = parse(self.body)
        if not isinstance(value, dict):
            raise bad_request("not_json")
        return value

    def required(self, *keys: str) -> dict[str, Json]:
        """The same with all of these keys."""
        found = self.json()
        missing = [key for key in keys if key not in found]
        if missing:
            terms = [f"{{key_missing,{_atom(key)}}}" for key in missing]
            narrow = ",".join(terms)  # Erlang breaks lines of 80 characters
            wide = ",\n ".join(terms)
            raise bad_request(f"[{narrow if len(narrow) < 78 else wide}]")
        return found


Handler = Callable[[Call], Awaitable[Answer]]


def _atom(key: str) -> str:
    return key if key.replace("_", "").isalnum() else f"'{key}'"


def parse(body: bytes) -> Json:
    """Raises Refused for what is no JSON."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise bad_request("not_json") from None


def _no_constant(_word: str) -> None:
    raise ValueError


def encoded(value: Json) -> bytes:
    """Names that are no UTF-8, which AMQP allows, are shown with question marks."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8", "replace")


def _plain(value: object) -> Json:
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def reply(value: Json, status: int = 200) -> Answer:
    """An answer of one value."""
    return Answer(status, encoded(value))


def chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """A slice each."""
    remaining = iter(rows)
    while chunk := list(islice(remaining, limits.HTTP_ROWS)):
        yield chunk
