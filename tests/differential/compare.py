"""Where two brokers' answers to one program part, and whether that is allowed.

Decides what counts as a difference. A difference is allowed only by a row of `ALLOWED`, and a row
quotes the entry of man/mqd-differences.7 that it stands for; a test holds it to that. After an
allowed difference the two play on from different states, so that nothing later is compared, unless
the row does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.differential.runner import Said


@dataclass(frozen=True)
class Difference:
    """The first step whose answers are not the same."""

    program: tuple[str, ...]
    index: int
    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    following: Difference | None = None  # the next step whose answers are not the same

    @property
    def both(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The answers, theirs first."""
        return self.theirs, self.ours

    @property
    def step(self) -> str:
        """The step, or what the runner does after the last."""
        if self.index < len(self.program):
            return self.program[self.index]
        return ("(connections are closed)", "(queues are emptied)")[self.index - len(self.program)]

    @property
    def signature(self) -> tuple[str, ...]:
        """The same for differences that look the same, whatever the names and numbers."""
        verb = self.step.partition(": ")[2].partition(" ")[0] or self.step
        only_theirs = sorted({"- " + _shape(line) for line in self.theirs if line not in self.ours})
        only_ours = sorted({"+ " + _shape(line) for line in self.ours if line not in self.theirs})
        return (verb, *only_theirs, *only_ours)

    def report(self) -> str:
        """The program up to the difference, then both answers."""
        lines = list(self.program)
        lines.insert(self.index + 1, f"  ^ {self.step}")
        lines[self.index + 2 :] = []
        lines += [f"  RabbitMQ  {line}" for line in self.theirs or ["(nothing)"]]
        lines += [f"  mqd       {line}" for line in self.ours or ["(nothing)"]]
        return "\n".join(lines)


def _shape(line: str) -> str:
    """What kind of line it is; of an error also the text, without names and numbers."""
    words = line.split(" ")[1:]
    if not words[0].endswith(".close"):
        return words[0]
    return re.sub(r"'[^']*'|\d+", "_", " ".join(words))


@dataclass(frozen=True)
class Allowed:
    """A difference that the manual page names. entry: the words it begins with there."""

    entry: str
    holds: Callable[[Difference], bool]


def _expired_behind_others(found: Difference) -> bool:
    """A message with a time to live of 0 came to the front of a queue with priorities."""
    program = "\n".join(found.program)
    return "x-max-priority=I:" in program and "expiration='0'" in program


def _counts_who_got(found: Difference) -> bool:
    """Consumers of a quorum queue and, in RabbitMQ, who holds a message of a basic.get."""
    program = "\n".join(found.program[: found.index])
    if "x-queue-type='quorum'" not in program or ": basic.get " not in program:
        return False
    if len(found.theirs) != 1 or len(found.ours) != 1:
        return False
    theirs, ours = found.theirs[0].rpartition(" "), found.ours[0].rpartition(" ")
    return (
        " queue.declare-ok " in theirs[0]
        and theirs[0] == ours[0]
        and 0 < int(theirs[2]) - int(ours[2]) <= program.count(": basic.get ")
    )


def _recovered_a_stream(found: Difference) -> bool:
    """basic.recover where deliveries of a stream are outstanding."""
    return (
        ": basic.recover " in found.step
        and any("connection.close 541 INTERNAL_ERROR" in line for line in found.theirs)
        and any("connection.close 540" in line and "stream" in line for line in found.ours)
    )


def _handed_to_the_dying(found: Difference) -> bool:
    """What a channel held went, in RabbitMQ, to a consumer without acknowledgements on another
    channel of the connection that was closing with it."""
    if not any(map(_has_other_holder(found), _consuming(found, "no_ack=true"))):
        return False
    more = Counter(found.ours) - Counter(found.theirs)
    less = Counter(found.theirs) - Counter(found.ours)
    return (
        len(found.ours) > len(found.theirs)
        and all(map(_IS_LEFT.search, more))
        and all(map(_COUNTS.search, less))
    )


def _sent_to_the_dying(found: Difference) -> bool:
    """The same, and the consumer was sent it before its connection was gone. What a consumer with
    acknowledgements was sent is there afterwards all the same."""
    more = Counter(found.theirs) - Counter(found.ours)
    if not more or Counter(found.ours) - Counter(found.theirs):
        return False
    consuming = _consuming(found)
    has_other_holder = _has_other_holder(found)
    for line in more:
        place = line.partition(" ")[0]
        if not _IS_SENT_BACK.search(line) or f"{place[0]} closed" not in found.ours:
            return False
        if place not in consuming or not has_other_holder(place):
            return False
    return found.following is None or _handed_to_the_dying(found.following)


def _counted_for_the_dying(found: Difference) -> bool:
    """The same with a quorum queue: it was one delivery more."""
    if "x-queue-type='quorum'" not in "\n".join(found.program[: found.index]):
        return False
    if not any(map(_has_other_holder(found), _consuming(found))):
        return False
    counts = ([int(n) for n in _DELIVERIES.findall("\n".join(one))] for one in found.both)
    theirs, ours = ("\n".join(_DELIVERIES.sub("", line) for line in one) for one in found.both)
    return theirs == ours and all(their >= our for their, our in zip(*counts, strict=True))


def _consuming(found: Difference, how: str = "") -> set[str]:
    """The channels on which consumers were started."""
    lines = [line.partition(": ") for line in found.program[: found.index + 1]]
    return {place for place, _, rest in lines if rest.startswith("basic.consume ") and how in rest}


def _has_other_holder(found: Difference) -> Callable[[str], bool]:
    """Whether another channel of a channel's connection may have held something."""
    program = found.program[: found.index + 1]
    holders = {line.partition(":")[0] for line in program if _HOLDS.search(line)}
    return lambda place: any(place[0] == other[0] and place != other for other in holders)


def _turned_round(found: Difference) -> bool:
    """A quorum queue let go of several messages at once, and the same dead letters arrive."""
    if "x-queue-type='quorum'" not in "\n".join(found.program[: found.index]):
        return False
    theirs, ours = ([_NUMBERS.sub(" ", line) for line in one] for one in found.both)
    moved = {
        line for pair in zip(theirs, ours, strict=False) for line in pair if pair[0] != pair[1]
    }
    return sorted(theirs) == sorted(ours) and all("reason='maxlen'" in line for line in moved)


def _took_what_was_under_way(found: Difference) -> bool:
    """Several messages at once for a quorum queue that refuses: more of them are in RabbitMQ's."""
    program = "\n".join(found.program[: found.index + 1])
    if not all(word in program for word in ("x-queue-type='quorum'", "reject-publish", " count=")):
        return False
    theirs, ours = (
        sum(int(match[1]) for line in lines if (match := _HAS.search(line))) for lines in found.both
    )
    their_acks, our_acks = (_confirmed(lines, "ack") for lines in found.both)
    their_all, our_all = (_confirmed(lines, "n?ack") for lines in found.both)
    only = [line for line in (*found.theirs, *found.ours) if not _FULL.search(line)]
    return (
        ours + len(our_acks) < theirs + len(their_acks)
        and our_acks <= their_acks
        and our_all == their_all
        and all(line in found.theirs and line in found.ours for line in only)
    )


def _confirmed(lines: tuple[str, ...], how: str) -> set[tuple[str, str]]:
    """Channels and numbers of what was published there."""
    found = (re.fullmatch(rf"(\S+) {how} (.*)", line) for line in lines)
    return {(one[1], number) for one in found if one for number in one[2].split(",")}


_HAS = re.compile(r"queue\.declare-ok \S+ (\d+) \d+$")
_FULL = re.compile(r"queue\.declare-ok |^z/1 got #|^\S+ n?ack ")
_NUMBERS = re.compile(r" #\d+\*? | left=\d+$")
_DELIVERIES = re.compile(r"(?<=x-delivery-count=l:)\d+")
_IS_SENT_BACK = re.compile(r"^\w/\d+ (> \S+ #(\d+|\?)\* |tags )")
_HOLDS = re.compile(r": basic\.(consume|get) (?!.*no_ack=true)")
_COUNTS = re.compile(r"^z/1 (queue\.declare-ok|got #)")
_IS_LEFT = re.compile(r"^z/1 (queue\.declare-ok|got #\d+\*)")

ALLOWED: tuple[Allowed, ...] = (
    Allowed("consumer count of a quorum queue", _counts_who_got),
    Allowed("streams", _recovered_a_stream),
    Allowed("a connection that ends", _handed_to_the_dying),
    Allowed("a connection that ends", _sent_to_the_dying),
    Allowed("a connection that ends", _counted_for_the_dying),
    Allowed("a quorum queue that is full and refuses", _took_what_was_under_way),
    Allowed("a quorum queue that lets go of several messages at once", _turned_round),
    Allowed("a message of a higher priority that is over when it comes", _expired_behind_others),
)


def difference(
    program: list[str], theirs: Said, ours: Said, *, since: int = 0
) -> Difference | None:
    """The first difference from step `since` on, allowed or not."""
    for index in range(since, max(len(theirs), len(ours))):
        their = tuple(theirs[index]) if index < len(theirs) else ()
        our = tuple(ours[index]) if index < len(ours) else ()
        if their != our:
            following = difference(program, theirs, ours, since=index + 1)
            return Difference(tuple(program), index, their, our, following)
    return None


def allowed(found: Difference) -> Allowed | None:
    """The row that names the difference, if any."""
    return next((row for row in ALLOWED if row.holds(found)), None)
