"""The file enabled_plugins: which plugins are to run.

Decides its syntax, an Erlang list of words, `[rabbitmq_a,rabbitmq_b].`, as RabbitMQ writes and
reads it, comments and quoted words included. Never knows which plugins there are
(`mqd.plugins.catalogue`) and never writes the file by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mqd.config.parse import ConfigError

_TOKEN = re.compile(
    r"""(?P<blank>\s+|%[^\n]*)
    |(?P<word>[a-z][A-Za-z0-9_@]*)
    |'(?P<quoted>(?:[^'\\]|\\.)*)'
    |(?P<mark>[\[\],.])""",
    re.VERBOSE,
)


class Malformed(ConfigError):
    """A text that is no list of words. line and found as Erlang would name them: where its parser
    stops, and at what, nothing at the end; is_after: the list itself is right."""

    def __init__(self, problem: str, line: int, found: str, is_after: bool) -> None:
        super().__init__([problem])
        self.line = line
        self.found = found
        self.is_after = is_after


_PLAIN = re.compile(r"[a-z][A-Za-z0-9_@]*")


def parse(text: str, file: str) -> list[str]:
    """Names in the order of the file, each once. Raises Malformed with file and line."""
    names: list[str] = []
    wanted = "["  # what may come next; "w" is a word
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise _wrong(text, at, file, wanted)
        kind = token.lastgroup
        if kind != "blank":
            mark = token["mark"] if kind == "mark" else "w"
            if mark not in wanted:
                raise _wrong(text, at, file, wanted)
            if mark == "w":
                name = token["word"] or re.sub(r"\\(.)", r"\1", token["quoted"])
                names.append(name)
            wanted = {"[": "w]", "w": ",]", ",": "w", "]": ".", ".": ""}[mark]
        at = token.end()
    if wanted and not (wanted == "[" and not names):
        raise _wrong(text, at, file, wanted)
    return list(dict.fromkeys(names))


def _wrong(text: str, at: int, file: str, wanted: str) -> Malformed:
    line = text.count("\n", 0, at) + 1
    found = text[at:].split("\n", 1)[0][:20].strip()
    words = {"w": "a name", "": "nothing more"}
    expected = " or ".join(words.get(each, f"'{each}'") for each in wanted or [""])
    what = f"'{found}'" if found else "the end"
    problem = f"{file}:{line}: {expected} expected, not {what}: write [plugin_a,plugin_b]."
    return Malformed(problem, *_as_erlang(text, at, wanted), is_after=not wanted)


def _as_erlang(text: str, at: int, wanted: str) -> tuple[int, str]:
    """Line and token where its parser stops: a word may be a term of its own, and what the text
    lacks at its end is missed on the line of its last token."""
    token = _TOKEN.match(text, at)
    if wanted == "[" and token is not None and token.lastgroup == "word":
        token = next((t for t in _TOKEN.finditer(text, token.end()) if t["blank"] is None), None)
    if token is not None:
        return text.count("\n", 0, token.start()) + 1, token[0]
    tokens = [each for each in _TOKEN.finditer(text) if each["blank"] is None]
    return text.count("\n", 0, tokens[-1].start() if tokens else 0) + 1, ""


def show(names: Iterable[str]) -> str:
    """The file's text; inverse of `parse` (form observed: 3.10.8)."""
    return f"[{','.join(map(_quoted, names))}].\n"


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else "'" + re.sub(r"['\\]", r"\\\g<0>", name) + "'"


def read(path: Path) -> list[str]:
    """What the file says; no file, no plugins. Raises ConfigError when it cannot be read."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError([f"{path}: cannot be read: {reason}"]) from error
    return parse(text, str(path))
