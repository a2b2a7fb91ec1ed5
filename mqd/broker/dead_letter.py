"""Dead lettering: where a message goes that its queue will not keep, and what it is told.

Decides the headers a dead letter carries (x-death, x-first-death-*), its exchange and its routing
keys, which queues a cycle excludes, and that the queue it left lets go of it only when its new
queues have it on disc (RabbitMQ: dead letter exchanges documentation; observed: 3.10.8). Never
decides that a message is dead: queues do, and say why.

An entry of x-death stands for all deaths of one reason in one queue. It keeps the fields of the
first of them and counts. The newest stands first; the others stand in no order that means anything,
since 3.10.8 turns them round each time it groups them, and cycles are looked for in that order. A
message that died of the same queue before is not put there again unless somebody rejected it since:
what only TTLs and lengths move would go round for ever.

Dead letters can cause dead letters. They are carried out one after the other, not one within the
other, so that no chain of queues is too long; and a turn's share at a time, since x-death is the
client's to write: one that mentions a rejection sends a message round a circle of queues for ever.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mqd.amqp import properties
from mqd.amqp.fields import Field, FieldError, Table
from mqd.amqp.replies import ChannelError
from mqd.broker.exchanges.base import Offered, Taker
from mqd.broker.headers import listed_keys
from mqd.broker.message import Message, names_of, replace_header
from mqd.broker.routing import route
from mqd.broker.shelf import restore

if TYPE_CHECKING:
    from mqd.broker.queues.base import Queue
    from mqd.broker.vhost import VHost

EXPIRED = "expired"
REJECTED = "rejected"
MAXLEN = "maxlen"
DELIVERY_LIMIT = "delivery_limit"

_TURN_LETTERS_MAX = 512  # a turn's share: some 15 ms
_LOGGED_MAX = 1000  # warnings of a kind, so that no stream of messages fills the log

log = logging.getLogger("mqd.queue")


def dead_letter(
    message: Message, queue: str, reason: str, exchange: str, routing_key: str | None, now_s: int
) -> tuple[Message, list[str]]:
    """The message as it leaves for its dead-letter exchange, and the keys it is routed by.

    routing_key: of the queue's rules, None where the message keeps its own keys. now_s: seconds
    since the epoch. Raises FieldError when the headers cannot be read.
    """
    told = properties.decode(message.header)
    headers: Table = dict(told.headers or {})
    keys = [message.routing_key, *listed_keys(headers.get("CC"))]
    death: Table = {
        "reason": _text(reason),
        "queue": _text(queue),
        "time": ("timestamp", now_s),
        "exchange": _text(message.exchange),
        "routing-keys": ("array", [_text(key) for key in keys]),
    }
    if told.expiration is not None:
        death["original-expiration"] = _text(told.expiration)
        told.expiration = None  # it would expire again at once
    headers = _with_death(headers, death)
    if routing_key is None:
        keys += message.hidden_keys
        names = message.names_to(exchange)
    else:
        headers.pop("CC", None)
        keys = [routing_key]
        names = names_of(exchange, routing_key)
    told.headers = headers
    header = properties.encode(told, message.body_bytes)
    return Message(names, replace_header(message.content, header), message.persistent), keys


def _text(value: str) -> Field:
    return ("longstr", value.encode("utf-8", "surrogateescape"))


def _sorted(table: Table) -> Table:
    return dict(sorted(table.items()))


def _event(death: Table) -> tuple[object, object]:
    """What makes two deaths the same."""
    return death.get("queue", ("", b""))[1], death.get("reason", ("", b""))[1]


def _with_death(headers: Table, death: Table) -> Table:
    """The headers with one death more. Orders of fields are 3.10.8's (observed)."""
    field = headers.get("x-death")
    first: Table = {"count": ("long", 1), **death}
    if field is None:
        told = {f"x-first-death-{what}": death[what] for what in ("exchange", "queue", "reason")}
        return _sorted({**headers, **told, "x-death": ("array", [("table", first)])})
    if field[0] != "array":  # some client made a string of it
        return _sorted({**headers, "x-death": ("array", [("table", first)])})
    entries = _grouped(field[1])
    turned = len(field[1]) > 1
    before = entries.pop(_event(death), None)
    if before is not None:
        first = {**before, "count": ("long", _count(before) + 1)}
    others: list[Field] = [("table", entry) for entry in entries.values()]
    if turned:
        others.reverse()
    return _sorted({**headers, "x-death": ("array", [("table", _sorted(first)), *others])})


def _count(death: Table) -> int:
    kind, value = death.get("count", ("long", 1))
    return value if isinstance(value, int) and kind != "bool" else 1


def _grouped(fields: Iterable[Field]) -> dict[tuple[object, object], Table]:
    """Entries by event, first to last; a client may have written any number of the same."""
    grouped: dict[tuple[object, object], Table] = {}
    for kind, entry in fields:
        if kind != "table":
            continue
        same = grouped.get(_event(entry))
        if same is not None:
            entry = {**same, "count": ("long", _count(same) + _count(entry))}
        grouped[_event(entry)] = entry
    return grouped


def cycles(headers: Table, queues: Iterable[str]) -> set[str]:
    """Those of the queues where the message died before, and nobody rejected it since.

    headers: those the dead letter carries already.
    """
    field = headers.get("x-death")
    if field is None or field[0] != "array":
        return set()
    wanted = {name.encode("utf-8", "surrogateescape"): name for name in queues}
    found: set[str] = set()
    for kind, entry in field[1]:
        if kind != "table":
            continue
        queue, reason = _event(entry)
        if reason == REJECTED.encode():
            break
        if isinstance(queue, bytes) and queue in wanted:
            found.add(wanted[queue])
    return found


class Had(NamedTuple):
    """Which queues have a dead letter that others refused, and since which batch. Only the others
    are sent it again, or these would get a copy more at every attempt."""

    queues: frozenset[Taker] = frozenset()
    batch: int = 0

    def also(self, queues: Sequence[Taker], batches: Sequence[int]) -> Had:
        """With what publishing it to more of them came to."""
        took = {queue for queue, batch in zip(queues, batches, strict=True) if batch >= 0}
        return Had(self.queues | took, max((self.batch, *batches)))


NOBODY: Final = Had()


class DeadLetters:
    """The dead letters of one vhost on their way."""

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self.tickets = vhost.tickets
        self._waiting: deque[tuple[Queue, Message, str, Had]] = deque()
        self.taken = 0  # ever
        self._put_off: dict[Queue, int] = {}  # how many messages queues hold back for later turns
        self.held = False  # dead letters wait for somebody who is busy with more
        self._sent = 0  # in this turn
        self._resting = False  # what waits, and comes, does so until the next one
        self._logged: set[tuple[str, str]] = set()

    def take(self, queue: Queue, message: Message, reason: str, had: Had = NOBODY) -> None:
        """The queue has taken the message out and has rules for dead letters.

        It is told by `Queue.left` when the message is safe elsewhere, or nowhere. had: as it was
        told by `Queue.stuck`.
        """
        self._waiting.append((queue, message, reason, had))
        self.taken += 1
        if not self.held:
            self.go_on()

    @property
    def is_behind(self) -> bool:
        """Whether a turn's share was not enough: who has many more had better wait."""
        return self._resting

    @property
    def turns_behind(self) -> int:
        """How many turns' full shares wait, here and in their queues."""
        return (len(self._waiting) + sum(self._put_off.values())) // _TURN_LETTERS_MAX

    def put_off(self, queue: Queue, count: int) -> None:
        """The queue is to be shorter by that many messages, and waits for another turn's share."""
        self._put_off[queue] = count
        self.taken += 1

    def go_on(self) -> None:
        """Carry out what waits, at most a turn's share of it."""
        if self._resting:
            return
        turn = self._vhost.turn
        self.held = True
        try:
            while self._waiting and self._sent < _TURN_LETTERS_MAX:
                if not self._sent:
                    turn.confirms.append(self._end_turn)
                self._sent += 1
                self._send(*self._waiting.popleft())
        finally:
            self.held = False
        if self._sent >= _TURN_LETTERS_MAX:
            self._resting = True
            turn.later.append(self._next_share)

    def _end_turn(self) -> None:
        self._sent = 0

    def _next_share(self) -> None:
        self._resting = False
        self._put_off.clear()
        self.go_on()

    def after_all(self, queues: Sequence[Taker]) -> Sequence[Taker]:
        """The same queues, but a message that dies in one of them goes on only from all.

        It would overtake its own copies otherwise. They are one as well where their answers have
        to be brought together.
        """
        if len(queues) > 1 and any(_may_bury(one) or gives_tickets(one) for one in queues):
            return (_Together(self, queues),)
        return queues

    def publish(
        self, queues: Sequence[Taker], names: bytes, content: bytes, persistent: bool
    ) -> list[int]:
        """What `Taker.publish` of each returns; dead letters go on when all of them have it."""
        was_held, self.held = self.held, True
        try:
            batches = [queue.publish(names, content, persistent) for queue in queues]
        finally:
            self.held = was_held
        if not was_held:
            self.go_on()
        return batches

    def _send(self, queue: Queue, message: Message, reason: str, had: Had) -> None:
        restore(message)
        letter, targets = self.address(queue, message, reason)
        batches: list[int] = []
        if letter is not None:
            names, content, persistent = letter.names, letter.content, letter.persistent
            if had.queues:
                targets = [target for target in targets if target not in had.queues]
            batches = [target.publish(names, content, persistent) for target in targets]
        tickets = self.tickets
        if not queue.owes:
            taken = [batch for batch in batches if batch >= 0]
            queue.left(message, tickets.all_of([had.batch, *taken]))
            return

        def sent(batches: Sequence[int]) -> None:
            has = had.also(targets, batches)
            if letter is None or not has.queues or min(batches, default=0) < 0:
                queue.stuck(message, reason, has)
            else:
                queue.left(message, has.batch)

        tickets.each(batches, sent)

    def address(
        self, queue: Queue, message: Message, reason: str
    ) -> tuple[Message | None, Sequence[Taker]]:
        """The dead letter and the queues it goes to; None where there is no exchange for it."""
        vhost = self._vhost
        rules = queue.rules
        exchange = vhost.exchanges.get(rules.dead_letter_exchange or "")
        if exchange is None or rules.dead_letter_exchange is None:
            self._warn(queue.name, f"has no exchange '{rules.dead_letter_exchange}' to send to")
            return None, ()
        now_s = vhost.broker.clock.wall_ms() // 1000
        try:
            letter, keys = dead_letter(
                message, queue.name, reason, exchange.name, rules.dead_letter_routing_key, now_s
            )
            headers = properties.headers(letter.header) or {}
            offered = Offered(letter.names, letter.content, letter.persistent, headers)
            found = route(vhost.exchanges, exchange, keys, offered)
        except FieldError as error:
            self._warn(queue.name, f"drops a message whose headers cannot be read: {error}")
            return None, ()
        except ChannelError as error:  # the type of an exchange on the way is not there
            self._warn(queue.name, f"drops messages: {error.text}")
            return None, ()
        if reason != REJECTED:
            round_again = cycles(headers, (one for one in found if isinstance(one, str)))
            for name in round_again:
                self._warn(queue.name, f"drops messages that would come back to queue '{name}'")
            found = [one for one in found if one not in round_again]
        return letter, vhost.reach(found)

    def _warn(self, queue: str, text: str) -> None:
        """Once for each queue and reason: messages are lost here, and RabbitMQ says nothing."""
        mark = (queue, text)
        if mark not in self._logged and len(self._logged) < _LOGGED_MAX:
            self._logged.add(mark)
            where = f"queue '{queue}' in vhost '{self._vhost.name}'"
            log.warning("dead lettering: %s %s", where, text)


def _may_bury(taker: Taker) -> bool:
    rules = getattr(taker, "rules", None)
    return rules is not None and rules.dead_letter_exchange is not None


def gives_tickets(taker: Taker) -> bool:
    """Whether its publish may return tickets."""
    return getattr(taker, "gives_tickets", False)


class _Together:
    """Several queues that one message goes to, as one."""

    def __init__(self, dead_letters: DeadLetters, queues: Sequence[Taker]) -> None:
        self._dead_letters = dead_letters
        self._queues = queues

    @property
    def deleted(self) -> bool:
        return all(queue.deleted for queue in self._queues)

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        """What all of them come to."""
        queues = [queue for queue in self._queues if not queue.deleted]
        dead_letters = self._dead_letters
        return dead_letters.tickets.all_of(dead_letters.publish(queues, names, content, persistent))
