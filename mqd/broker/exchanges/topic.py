"""The topic exchange: binding keys are patterns of words, `*` is one word, `#` any number.

Decides which patterns a routing key matches, by a trie walked one word at a time with the set of
nodes that are still possible. A node under `#` stays possible whatever the word, and a node with
a `#` below it makes that one possible at once, for `#` may match nothing. So the cost is words
times possible nodes, whatever the number of bindings, and no pattern of many `#` makes it blow up.

Words are what stands between dots; the empty key has none, "." has two empty ones (observed:
3.10.8). Source: AMQP 0-9-1 §3.1.3.3.
"""

from __future__ import annotations

from collections.abc import Collection

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import (
    Counted,
    Destination,
    Exchange,
    Offered,
    Surroundings,
    count_down,
    count_up,
)


class _Node:
    """What is known once some words of a pattern have matched."""

    __slots__ = ("destinations", "loops", "rest", "star", "words")

    def __init__(self, loops: bool) -> None:
        self.words: dict[str, _Node] = {}
        self.star: _Node | None = None
        self.rest: _Node | None = None  # below '#'
        self.loops = loops  # stands below '#': swallows any word
        self.destinations: Counted = {}

    @property
    def is_empty(self) -> bool:
        return not (self.words or self.destinations or self.star or self.rest)


def words_of(key: str) -> list[str]:
    """The words of a routing or binding key."""
    return key.split(".") if key else []


class TopicExchange(Exchange):
    """Binding keys as a trie of words."""

    type_name = "topic"

    __slots__ = ("_root",)

    def __init__(self, definition: ExchangeDefinition, around: Surroundings) -> None:
        super().__init__(definition, around)
        self._root = _Node(False)

    def bind(self, binding: BindingDefinition) -> None:
        node = self._root
        for word in words_of(binding.binding_key):
            child = _child(node, word)
            if child is None:
                child = _Node(word == "#")
                _set_child(node, word, child)
            node = child
        count_up(node.destinations, binding)

    def unbind(self, binding: BindingDefinition) -> None:
        words = words_of(binding.binding_key)
        path = [self._root]
        for word in words:
            child = _child(path[-1], word)
            assert child is not None, f"no binding {binding.binding_key!r} on '{self.name}'"
            path.append(child)
        count_down(path[-1].destinations, binding)
        for depth in range(len(words) - 1, -1, -1):
            if not path[depth + 1].is_empty:
                break
            _set_child(path[depth], words[depth], None)

    def route(self, routing_key: str, message: Offered) -> Collection[Destination]:
        possible = {self._root}
        _enter_rest(self._root, possible)
        for word in words_of(routing_key):
            following: set[_Node] = set()
            for node in possible:
                if node.loops:
                    following.add(node)
                child = node.words.get(word)
                if child is not None:
                    following.add(child)
                    if child.rest is not None:
                        _enter_rest(child, following)
                child = node.star
                if child is not None:
                    following.add(child)
                    if child.rest is not None:
                        _enter_rest(child, following)
            if not following:
                return ()
            possible = following
        if len(possible) == 1:
            return possible.pop().destinations
        found: set[Destination] = set()
        for node in possible:
            found.update(node.destinations)
        return found


def _enter_rest(node: _Node, possible: set[_Node]) -> None:
    """'#' matches nothing, too: what stands below it is possible as soon as its parent is."""
    below = node.rest
    while below is not None:
        possible.add(below)
        below = below.rest


def _child(node: _Node, word: str) -> _Node | None:
    if word == "*":
        return node.star
    if word == "#":
        return node.rest
    return node.words.get(word)


def _set_child(node: _Node, word: str, child: _Node | None) -> None:
    if word == "*":
        node.star = child
    elif word == "#":
        node.rest = child
    elif child is None:
        del node.words[word]
    else:
        node.words[word] = child
