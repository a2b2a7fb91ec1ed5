"""From files and environment to one table of effective values, each with its origin.

Decides precedence (highest first: MQD_ variables, files in order with the later one winning,
flags of the runtime, RABBITMQ_ variables, defaults), substitution of $(...), decryption, and that
every unknown or ill-typed key is reported at once with its place. Nothing is half read: either all
is well or a ConfigError names all that is not. Never decides what a value does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mqd import limits
from mqd.config.erlang import Atom, Plain, Term
from mqd.config.notes import Note
from mqd.config.parse import ConfigError, Entry, parse
from mqd.config.schema import Key, find, schema, segments, working
from mqd.config.values import QUANTITY, Value
from mqd.config.variables import Variable, Variables

if TYPE_CHECKING:
    from mqd.config.classic import Classic
    from mqd.config.encrypted import Decoder

PREFIX = "encrypted:"

_SUBSTITUTION = re.compile(r"\$\(([^)]+)\)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value."""

    name: str
    key: Key
    value: Value
    origin: str  # "default", "file:line", "RABBITMQ_NODE_PORT"
    text: str = ""  # as it was written, where it was written

    @property
    def shown(self) -> Value:
        """The value; a size with a unit as it was written."""
        with_unit = type(self.value) is int and self.key.kind is QUANTITY
        return self.text if with_unit and not self.text.isdigit() and self.text else self.value


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the files and the environment say, by written key. Defaults are not in `set`.

    notes: what was given and changes nothing, beside the keys that say so themselves.
    applications: what Erlang files say, as terms. threads: of +A; None when it is not given.
    """

    set: Mapping[str, Setting]
    files: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    applications: Mapping[str, Mapping[str, Plain]] = field(default_factory=dict)
    threads: int | None = None

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

    def without_effect(self) -> Iterator[Note]:
        """Everything that was given and changes nothing, with the reason."""
        for setting in self.set.values():
            if not setting.key.works:
                yield Note(setting.name, setting.key.reason, setting.origin)
                continue
            names, reason = _OFFERED.get(setting.key.name, ((), ""))
            if names and setting.value not in names:
                yield Note(f"{setting.name} = {setting.value}", reason, setting.origin)
        yield from self.notes


# RabbitMQ 4's names of keys that 3.10 has by another
ALIASES = {"max_connections": "connection_max", "max_channels_per_connection": "channel_max"}
MECHANISMS = ("PLAIN", "AMQPLAIN")
_INTERNAL = ("internal", "rabbit_auth_backend_internal"), "users are those of the internal database"
# of these keys, the words that mean something, and what is said of the others
_OFFERED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "auth_mechanisms.$num": (MECHANISMS, "mqd does not offer this mechanism"),
    "auth_backends.$num": _INTERNAL,
    "auth_backends.$num.authn": _INTERNAL,
    "auth_backends.$num.authz": _INTERNAL,
}
_DECODER = "config_entry_decoder."


def load(files: Iterable[Path], variables: Variables, given: Iterable[Entry] = ()) -> Configuration:
    """Read the files, which exist, in this order: those named *.config hold Erlang terms, all
    others `key = value`. Raises ConfigError with every problem.

    given: settings that come from nowhere on disc and stand above the files.
    """
    reading = _Reading(variables)
    reading.read([Path(path) for path in files])
    reading.entries += given
    return reading.configuration()


class _Reading:
    """One pass over everything; problems are gathered so that all are told at once."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self.entries: list[Entry] = []
        self._problems: list[str] = []
        self._notes: list[Note] = []
        self._applications: dict[str, dict[str, Plain]] = {}
        self._threads: int | None = None
        self._names: list[str] = []
        self._decoder: Decoder | None = None

    def read(self, files: list[Path]) -> None:
        """Flags of the runtime first: all files stand above them."""
        self._flags()
        terms: dict[Path, Term] = {}
        for path in files:
            self._names.append(str(path))
            try:
                text = _text(path)
                if path.suffix == ".config":
                    from mqd.config import classic

                    terms[path] = classic.parse(text, str(path))
                else:
                    self.entries += parse(text, str(path))
            except ConfigError as error:
                self._problems += error.problems
        self._decoder = self._find_decoder(terms)
        for path, term in terms.items():
            from mqd.config import classic

            self._take(classic.entries(term, str(path), self._decoder))

    def _flags(self) -> None:
        names = ("SERVER_ERL_ARGS", "SERVER_ADDITIONAL_ERL_ARGS", "SERVER_START_ARGS")
        given = [found for name in names if (found := self._variables.get(name)) is not None]
        pool = self._variables.get("IO_THREAD_POOL_SIZE")
        if not given and pool is None:
            return
        from mqd.config import classic, flags

        into = flags.Flags()
        if pool is not None:
            given.insert(0, Variable(f"+A {pool.value}", pool.origin))
        for variable in given:
            try:
                flags.read(variable, into)
            except ConfigError as error:
                self._problems += error.problems
        self._threads = into.threads
        self._notes += (Note(*row) for row in into.without_effect)
        for app, key, value, origin in into.settings:
            pair = classic.from_plain((Atom(key), value.plain()), 0)
            taken = classic.Classic()
            classic.setting(app, pair, origin, None, taken)
            self._take(taken)

    def _take(self, found: Classic) -> None:
        self.entries += found.entries
        self._notes += found.notes
        self._problems += found.problems
        for app, rows in found.applications.items():
            self._applications.setdefault(app, {}).update(rows)

    def _find_decoder(self, terms: Mapping[Path, Term]) -> Decoder | None:
        """Of the Erlang files, else of rabbitmq.conf."""
        from mqd.config import encrypted

        rows = {e.key.removeprefix(_DECODER): e for e in self.entries if e.key.startswith(_DECODER)}
        origin = next((row.origin for row in rows.values()), "")
        try:
            for path, term in reversed(list(terms.items())):
                from mqd.config import classic

                if (found := classic.decoder(term, str(path))) is not None:
                    return found
            if "passphrase" not in rows and "passphrase_file" not in rows:
                return None
            if "passphrase" in rows:
                phrase = _substituted(rows["passphrase"], {}, self._variables)
            else:
                phrase = encrypted.passphrase_in(rows["passphrase_file"].value)
            words = {name: row.value for name, row in rows.items()}
            return encrypted.decoder(
                phrase,
                words.get("cipher", ""),
                words.get("hash", ""),
                int(words.get("iterations", 0)),
            )
        except ConfigError as error:
            self._problems += error.problems
        except ValueError as error:
            self._problems.append(f"{origin}: config_entry_decoder: {error}")
        return None

    def configuration(self) -> Configuration:
        """Raises ConfigError."""
        by_key: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.clears:
                _clear(by_key, entry.clears)
            else:
                name = ALIASES.get(entry.key, entry.key)
                by_key.pop(name, None)  # the order is that of the last place
                by_key[name] = entry
        settings: dict[str, Setting] = {}
        for name, entry in by_key.items():
            try:
                settings[name] = self._setting(name, entry, by_key)
            except ConfigError as error:
                self._problems += error.problems
        _from_environment(settings, self._variables, self._problems)
        if self._problems:
            raise ConfigError(dict.fromkeys(self._problems))
        return Configuration(
            settings, tuple(self._names), tuple(self._notes), self._applications, self._threads
        )

    def _setting(self, name: str, entry: Entry, entries: Mapping[str, Entry]) -> Setting:
        key = find(name)
        if key is None:
            nearest = schema().nearest(name)
            hint = f"; did you mean '{nearest}'?" if nearest else ""
            raise ConfigError([f"{entry.origin}: unknown key '{name}'{hint}"])
        text = entry.value if entry.literal else _substituted(entry, entries, self._variables)
        if text.startswith(PREFIX):
            text = self._opened(entry, text)
        return Setting(name, key, _typed(key, entry.key, text, entry.origin), entry.origin, text)

    def _opened(self, entry: Entry, text: str) -> str:
        if self._decoder is None:
            raise ConfigError(
                [f"{entry.origin}: {entry.key} is encrypted, and there is no config_entry_decoder"]
            )
        try:
            return self._decoder.text(text.removeprefix(PREFIX))
        except ValueError as error:
            raise ConfigError(
                [f"{entry.origin}: {entry.key} cannot be decrypted: {error}"]
            ) from error


def _clear(by_key: dict[str, Entry], rows: tuple[str, ...]) -> None:
    for name in [name for name in by_key if (key := find(name)) is not None and key.name in rows]:
        del by_key[name]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError([f"{path}:{line}: not UTF-8 at byte {error.start}"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error


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
        ("PRODUCT_NAME", "product.name"),
        ("PRODUCT_VERSION", "product.version"),
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
