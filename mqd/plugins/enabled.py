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
_PLAIN = re.compile(r"[a-z][A-Za-z0-9_@]*")


def parse(text: str, file: str) -> list[str]:
    """Names in the order of the file, each once. Raises ConfigError with file and line."""
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


def _wrong(text: str, at: int, file: str, wanted: str) -> ConfigError:
    line = text.count("\n", 0, at) + 1
    found = text[at:].split("\n", 1)[0][:20].strip()
    words = {"w": "a name", "": "nothing more"}
    expected = " or ".join(words.get(each, f"'{each}'") for each in wanted or [""])
    what = f"'{found}'" if found else "the end"
    return ConfigError(
        [f"{file}:{line}: {expected} expected, not {what}: write [plugin_a,plugin_b]."]
    )


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
