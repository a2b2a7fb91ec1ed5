"""What keeps a binding from matching, where it nearly does.

Decides for one binding of a direct, topic or headers exchange whether the routing key, or the
headers, are so near that somebody may have meant it, and says what is different. Pure over keys
and tables.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any, Final

from mqd.amqp.fields import Field, Table
from mqd.broker.exchanges.headers import X_MATCH, comparable
from mqd.broker.exchanges.topic import words_of

_ALIKE: Final = 0.75


def topic_matches(binding_key: str, routing_key: str) -> bool:
    """As the topic exchange has it."""
    possible = {0}
    pattern = words_of(binding_key)

    def close(positions: set[int]) -> set[int]:
        """'#' may match nothing."""
        found = set(positions)
        for position in sorted(positions):
            while position < len(pattern) and pattern[position] == "#":
                position += 1
                found.add(position)
        return found

    possible = close(possible)
    for word in words_of(routing_key):
        following = set()
        for position in possible:
            if position < len(pattern):
                if pattern[position] == "#":
                    following.add(position)
                elif pattern[position] in ("*", word):
                    following.add(position + 1)
        possible = close(following)
    return len(pattern) in possible


def of_direct(binding_key: str, routing_key: str) -> str:
    """How the two differ; empty when they are far apart, or the same."""
    if binding_key == routing_key:
        return ""
    if {"*", "#"} & set(words_of(binding_key)) and topic_matches(binding_key, routing_key):
        return "it is a pattern, and this exchange compares keys letter by letter"
    return _alike(binding_key, routing_key)


def _alike(one: str, other: str) -> str:
    if one.casefold() == other.casefold():
        return "upper and lower case count"
    if one.strip() == other.strip():
        return "blanks count"
    if one and other and SequenceMatcher(None, one, other).ratio() >= _ALIKE:
        return "it is spelt otherwise"
    return ""


def of_topic(binding_key: str, routing_key: str) -> str:
    """The same for a pattern."""
    pattern, words = words_of(binding_key), words_of(routing_key)
    if topic_matches(binding_key, routing_key):
        return ""
    if topic_matches(binding_key.casefold(), routing_key.casefold()):
        return "upper and lower case count"
    for mark in "/:_-":
        if mark in routing_key and topic_matches(binding_key, routing_key.replace(mark, ".")):
            return f"words stand between dots, not '{mark}'"
    if any("*" in word or "#" in word for word in pattern if word not in ("*", "#")):
        return "* and # stand for whole words, not for parts of one"
    for count in range(len(words) - 1, 0, -1):
        if topic_matches(binding_key, ".".join(words[:count])):
            rest = ".".join(words[count:])
            return f"it matches the first {count} words; '.{rest}' is left ('.#' would match it)"
    if "#" not in pattern and len(pattern) == len(words):
        other = [at for at, word in enumerate(pattern) if word not in ("*", words[at])]
        if len(other) == 1:
            at = other[0]
            return f"word {at + 1} is '{words[at]}', not '{pattern[at]}'"
    if pattern and "*" in pattern and len(pattern) > len(words) and words:
        return f"it wants {len(pattern)} words, and the key has {len(words)}"
    return _alike(binding_key, routing_key)


def of_headers(arguments: Table, headers: Table) -> str:
    """What a binding of a headers exchange misses. Empty where it misses everything."""
    field = arguments.get(X_MATCH)
    kind = field[1] if field is not None and field[0] == "longstr" else b"all"
    wanted = {
        name: value
        for name, value in arguments.items()
        if name != X_MATCH and (kind.endswith(b"with-x") or not name.startswith("x-"))
    }
    missing = [name for name in wanted if name not in headers]
    other = [name for name in wanted if name in headers and not _fits(wanted[name], headers[name])]
    if len(missing) + len(other) == len(wanted) and not other:
        return ""
    parts = [f"header '{name}' is not there" for name in missing]
    parts += [f"header '{n}' is {_shown(headers[n])}, not {_shown(wanted[n])}" for n in other]
    return ", ".join(parts)


def _fits(wanted: Field, given: Field) -> bool:
    return wanted[0] == "void" or bool(comparable(wanted) == comparable(given))


def _shown(field: Field) -> str:
    kind, value = field
    shown: Any = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return f"'{shown}'" if kind == "longstr" else f"{shown} ({kind})"
