"""From files and environment to one table of effective values, each with its origin.

Decides precedence (highest first: MQD_ variables, files in order with the later one winning,
RABBITMQ_ variables, defaults), substitution of $(...), and that every unknown or ill-typed key is
reported at once with its place. Never decides what a value does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mqd import limits
from mqd.config.parse import ConfigError, Entry, parse
from mqd.config.schema import Key, find, schema, segments, working
from mqd.config.values import Value
from mqd.config.variables import Variables

_SUBSTITUTION = re.compile(r"\$\(([^)]+)\)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value."""

    name: str
    key: Key
    value: Value
    origin: str  # "default", "file:line", "RABBITMQ_NODE_PORT"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the files and the environment say, by written key. Defaults are not in `set`."""

    set: Mapping[str, Setting]
    files: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Value:
        """The effective value of a key without variable parts."""
        if (setting := self.set.get(name)) is not None:
            return setting.value
        key = working().find(name)
        assert key is not None, name
        return key.default

    def is_set(self, name: str) -> bool:
        return name in self.set

    def family(self, name: str) -> dict[str, Value]:
        """All of `listeners.tcp.$name`, by what stands for the variable part, in order."""
        return {segments(s.name)[-1]: s.value for s in self.set.values() if s.key.name == name}

    def effective(self) -> Iterator[Setting]:
        """Every key that is set or has a default, sorted by name."""
        rows = dict(self.set)
        for key in working().keys:
            if key.default is not None:
                rows.setdefault(key.name, Setting(key.name, key, key.default, "default"))
        yield from (rows[name] for name in sorted(rows))


def load(files: Iterable[Path], variables: Variables, given: Iterable[Entry] = ()) -> Configuration:
    """Read the files, which exist, in this order. Raises ConfigError with every problem.

    given: settings that come from nowhere on disc and stand above the files.
    """
    entries: list[Entry] = []
    problems: list[str] = []
    names = []
    for path in files:
        names.append(str(path))
        try:
            entries += parse(_text(path), str(path))
        except ConfigError as error:
            problems += error.problems
    entries += given
    by_key = {entry.key: entry for entry in entries}
    settings: dict[str, Setting] = {}
    for entry in by_key.values():
        try:
            settings[entry.key] = _setting(entry, by_key, variables)
        except ConfigError as error:
            problems += error.problems
    _from_environment(settings, variables, problems)
    if problems:
        raise ConfigError(problems)
    return Configuration(settings, tuple(names))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 at byte {error.start}"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error


def _setting(entry: Entry, entries: Mapping[str, Entry], variables: Variables) -> Setting:
    key = find(entry.key)
    if key is None:
        nearest = schema().nearest(entry.key)
        hint = f"; did you mean '{nearest}'?" if nearest else ""
        raise ConfigError([f"{entry.origin}: unknown key '{entry.key}'{hint}"])
    text = _substituted(entry, entries, variables)
    return Setting(entry.key, key, _typed(key, entry.key, text, entry.origin), entry.origin)


def _typed(key: Key, name: str, text: str, origin: str) -> Value:
    try:
        value = key.kind.read(text)
    except (ValueError, KeyError) as error:
        raise ConfigError(
            [f"{origin}: {name} = {text}: must be {key.kind.label}, but is '{text}'"]
        ) from error
    if name == "max_message_size" and isinstance(value, int):
        if value > limits.MESSAGE_BYTES_HARD_MAX:
            raise ConfigError([f"{origin}: {name} = {text}: must be at most 512 MiB"])
    return value


def _substituted(entry: Entry, entries: Mapping[str, Entry], variables: Variables) -> str:
    """$(key) is the value of another key (cuttlefish), $(NAME) of an environment variable."""

    def replace(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name in entries and name != entry.key:
            return entries[name].value
        value = variables.of_process(name)
        if value is None:
            raise ConfigError(
                [f"{entry.origin}: $({name}) names neither a key nor an environment variable"]
            )
        return value

    return _SUBSTITUTION.sub(replace, entry.value)


def _from_environment(
    settings: dict[str, Setting], variables: Variables, problems: list[str]
) -> None:
    """Variables that stand for keys. RABBITMQ_X yields to a file, MQD_X does not."""
    for name, key_name in (
        ("DEFAULT_USER", "default_user"),
        ("DEFAULT_PASS", "default_pass"),
        ("DEFAULT_VHOST", "default_vhost"),
    ):
        found = variables.get(name)
        if found and (found.is_own or key_name not in settings):
            key = working().find(key_name)
            assert key is not None
            settings[key_name] = Setting(key_name, key, found.value, found.origin)
    try:
        _listener_from_environment(settings, variables)
    except ConfigError as error:
        problems += error.problems


def _listener_from_environment(settings: dict[str, Setting], variables: Variables) -> None:
    ip, port = variables.get("NODE_IP_ADDRESS"), variables.get("NODE_PORT")
    sources = [found for found in (ip, port) if found]
    own = any(found.is_own for found in sources)
    written = [name for name in settings if name.startswith("listeners.tcp")]
    if not sources or (written and not own):
        return
    for name in written:
        del settings[name]
    host = ip.value if ip and ip.value != "auto" else ""
    text = f"{host}:{port.value if port else 5672}" if host else (port.value if port else "5672")
    name = "listeners.tcp.default"
    key = working().find(name)
    assert key is not None
    origin = ", ".join(found.origin for found in sources)
    settings[name] = Setting(name, key, _typed(key, name, text, origin), origin)
