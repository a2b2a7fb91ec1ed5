"""rabbitmq.config and advanced.config: Erlang terms, as settings of rabbitmq.conf.

Decides which term is which key. A key of an application replaces all of what stood for it before
(observed: 3.10.8 sets whole keys, it does not merge lists), which an entry's `clears` says. Terms
without a counterpart are named with the reason and kept for `mqctl environment`. Never reads a
value: what a key may hold is decided where rabbitmq.conf's is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mqd.config import erlang
from mqd.config.encrypted import Decoder, decoder_of
from mqd.config.erlang import Plain, Term
from mqd.config.notes import Note
from mqd.config.parse import ConfigError, Entry
from mqd.config.places import place
from mqd.config.schema import Key, schema
from mqd.config.socket_options import raw_only
from mqd.config.terms import as_text

NO_COUNTERPART = "a key of RabbitMQ that has no counterpart in mqd"
UNKNOWN = "no key of RabbitMQ 3.10, which ignores it as well"


@dataclass(slots=True)
class Classic:
    """applications: name -> key -> term, as written (and decrypted)."""

    entries: list[Entry] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    applications: dict[str, dict[str, Plain]] = field(default_factory=dict)


class _Bad(Exception):
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def parse(text: str, file: str) -> Term:
    """The list of applications. Raises ConfigError."""
    terms = erlang.consult(text, file)
    if not terms:
        return Term("list", (), 1)
    if len(terms) > 1:
        raise ConfigError([f"{file}:{terms[1].line}: one list expected, here a second term begins"])
    if terms[0].kind != "list":
        raise ConfigError([f"{file}:{terms[0].line}: must be a list: [{{rabbit,[...]}}]."])
    return terms[0]


def decoder(applications: Term, file: str) -> Decoder | None:
    """What config_entry_decoder says; None when it says nothing. Raises ConfigError."""
    found = None
    for application in applications.value:
        pair = application.pair
        if pair is None or pair[0].value != "rabbit" or pair[1].kind != "list":
            continue
        for item in pair[1].value:
            if item.pair is not None and item.pair[0].value == "config_entry_decoder":
                found = item.pair[1]
    if found is None:
        return None
    try:
        return decoder_of(found)
    except ValueError as error:
        raise ConfigError([f"{file}:{found.line}: config_entry_decoder: {error}"]) from error


def entries(applications: Term, file: str, opened: Decoder | None) -> Classic:
    """All of a file. Problems are in the result; nothing is raised."""
    found = Classic()
    for application in applications.value:
        pair = application.pair
        if pair is None or pair[1].kind != "list":
            found.problems.append(
                f"{file}:{application.line}: must be {{application,[{{key,value}},...]}}, "
                f"but is {_short(application)}"
            )
            continue
        # log_levels, the older form, adds to what log says, wherever it stands
        for item in sorted(pair[1].value, key=_is_log_levels):
            setting(pair[0].value, item, file, opened, found)
    return found


def _is_log_levels(item: Term) -> bool:
    return item.pair is not None and item.pair[0].value == "log_levels"


def setting(app: str, item: Term, file: str, opened: Decoder | None, into: Classic) -> None:
    """One {key,value} of an application. file: also "RABBITMQ_SERVER_ERL_ARGS" and the like,
    whose terms have line 0."""
    try:
        pair = item.pair
        if pair is None:
            raise _Bad(item.line, f"{app}: must be {{key,value}}, but is {_short(item)}")
        name, value = str(pair[0].value), pair[1]
        if opened is not None:
            value = _decrypted(value, opened)
        elif name != "config_entry_decoder" and (sealed := _sealed(value)) is not None:
            raise _Bad(sealed.line, f"{name} is encrypted, and there is no config_entry_decoder")
        into.applications.setdefault(app, {})[name] = value.plain()
        reader = _SPECIAL.get((app, name))
        if reader is not None:
            fresh = list(reader(value))
        else:
            fresh = list(_walk((app, name), value, into, file))
    except _Bad as error:
        into.problems.append(f"{_origin(file, error.line)}: {error}")
        return
    clears = tuple(dict.fromkeys(_cleared(app, name)))
    at = _origin(file, item.line)
    if clears and (reader is not None or fresh):
        into.entries.append(Entry("", "", at, clears))
    for key, text, line in fresh:
        into.entries.append(Entry(key, text, _origin(file, line), literal=True))


def _origin(file: str, line: int) -> str:
    return f"{file}:{line}" if line else file


def _cleared(app: str, name: str) -> Iterator[str]:
    """The rows of the table that {name,...} stands for altogether."""
    for row, path in _rows():
        if path[:2] == (app, name):
            yield row.name


_ROWS: list[tuple[Key, tuple[str, ...]]] = []


def _rows() -> list[tuple[Key, tuple[str, ...]]]:
    if not _ROWS:
        _ROWS.extend((key, place(key.name)) for key in schema().keys)
    return _ROWS


def _short(term: Term) -> str:
    text = as_text(term.plain())
    return text if len(text) <= 60 else text[:57] + "..."


# -- plain keys -----------------------------------------------------------------------------------

_Found = Iterable[tuple[str, str, int]]  # key, text, line


def _walk(path: tuple[str, ...], value: Term, into: Classic, file: str) -> _Found:
    """By the table of places; nested lists are followed as deep as the table goes."""
    at = [(key, where) for key, where in _rows() if where[: len(path)] == path]
    exact = [key for key, where in at if where == path]
    nested = any(len(where) > len(path) for _, where in at)
    if nested and value.kind == "list":
        for item in value.value:
            pair = item.pair
            if pair is None:
                raise _Bad(item.line, f"{'.'.join(path)}: must be {{key,value}}: {_short(item)}")
            yield from _walk((*path, str(pair[0].value)), pair[1], into, file)
        return
    single = [key for key in exact if "$" not in key.name]
    if len(single) == 1 and len(exact) == 1:
        yield single[0].name, _scalar(value, single[0].name), value.line
        return
    if exact:  # a list of a key without effect; its elements are of no interest
        into.notes.append(Note(".".join(path), exact[0].reason, _origin(file, value.line)))
        return
    known = path[0] in KNOWN_APPLICATIONS and (len(path) > 2 or path[1] in known_keys(path[0]))
    reason = NO_COUNTERPART if known else UNKNOWN
    into.notes.append(Note(".".join(path), reason, _origin(file, value.line)))


def known_keys(app: str) -> frozenset[str]:
    """Keys of RabbitMQ's own environment, by application."""
    from mqd.config.applications import defaults

    return frozenset(defaults().get(app, {})) | _CLASSIC_ONLY


_KNOWN_APPLICATIONS_WORDS = """
    rabbit kernel rabbitmq_management rabbitmq_management_agent rabbitmq_prometheus
    rabbitmq_shovel rabbitmq_mqtt rabbitmq_stomp rabbitmq_stream rabbitmq_auth_backend_ldap
    rabbitmq_auth_backend_http rabbitmq_auth_backend_cache rabbitmq_amqp1_0 ra sysmon_handler ssl
    mnesia lager osiris aten os_mon syslog rabbitmq_federation rabbitmq_tracing sasl
"""
KNOWN_APPLICATIONS = frozenset(_KNOWN_APPLICATIONS_WORDS.split())
_CLASSIC_ONLY_WORDS = """
    channel_operation_timeout credit_flow_default_credit default_consumer_prefetch hipe_compile
    http_log_dir listener load_definitions log_levels max_permissions mnesia_table_loading_timeout
    msg_store_file_size_limit net_ticktime quorum_cluster_size quorum_commands_soft_limit
    rates_mode sample_retention_policies server_properties shovels ssl_config tcp_config
    trace_vhosts vm_memory_high_watermark
"""
_CLASSIC_ONLY = frozenset(_CLASSIC_ONLY_WORDS.split())


def _scalar(value: Term, name: str) -> str:
    """As it would stand in rabbitmq.conf."""
    plain = value.plain()
    if isinstance(plain, bytes):
        try:
            return plain.decode()
        except UnicodeDecodeError:
            raise _Bad(value.line, f"{name} = {_short(value)}: is not UTF-8") from None
    if value.kind in ("atom", "string", "number"):
        return str(plain)
    if isinstance(plain, tuple) and len(plain) in (4, 8) and all(type(n) is int for n in plain):
        return _address(plain, value.line)
    return as_text(plain)


def _address(numbers: tuple[int, ...], line: int) -> str:
    import ipaddress

    try:
        if len(numbers) == 4:
            return str(ipaddress.IPv4Address(bytes(numbers)))
        return str(ipaddress.IPv6Address(b"".join(n.to_bytes(2, "big") for n in numbers)))
    except (ValueError, OverflowError):
        raise _Bad(line, f"{numbers} is no address") from None


# -- keys whose term has a form of its own --------------------------------------------------------


def _items(value: Term, name: str) -> tuple[Term, ...]:
    if value.kind != "list":
        raise _Bad(value.line, f"{name}: must be a list, but is {_short(value)}")
    items: tuple[Term, ...] = value.value
    return items


def _listeners(prefix: str) -> Callable[[Term], _Found]:
    def read(value: Term) -> _Found:
        items = _items(value, prefix)
        if not items:
            yield prefix, "none", value.line
        for number, item in enumerate(items, 1):
            if item.kind == "tuple" and len(item.value) == 2:
                host, port = (_scalar(part, prefix) for part in item.value)
                text = port if host in ("auto", "::") else f"{host}:{port}"
            else:
                text = _scalar(item, prefix)
            yield f"{prefix}.{number}", text, item.line

    return read


def _escaped(name: str) -> str:
    return name.replace(".", "\\.")


def _loopback_users(value: Term) -> _Found:
    items = _items(value, "loopback_users")
    names = [_scalar(item, "loopback_users") for item in items]
    if not names:
        yield "loopback_users", "none", value.line
        return
    if "guest" not in names:
        yield "loopback_users.guest", "false", value.line
    for name, item in zip(names, items, strict=True):
        yield f"loopback_users.{_escaped(name)}", "true", item.line


def _default_permissions(value: Term) -> _Found:
    items = _items(value, "default_permissions")
    if len(items) != 3:
        raise _Bad(value.line, "default_permissions: must be three patterns: configure,write,read")
    for part, item in zip(("configure", "write", "read"), items, strict=True):
        yield f"default_permissions.{part}", _scalar(item, "default_permissions"), item.line


def _numbered(
    prefix: str, each: Callable[[Term], _Found] | None = None
) -> Callable[[Term], _Found]:
    def read(value: Term) -> _Found:
        for number, item in enumerate(_items(value, prefix), 1):
            name = f"{prefix}.{number}"
            if item.kind == "tuple" and len(item.value) == 2:
                for part, which in zip(item.value, ("authn", "authz"), strict=True):
                    yield f"{name}.{which}", _scalar(part, prefix), part.line
            else:
                yield name, _scalar(item, prefix), item.line

    return read


def _tags(value: Term) -> _Found:
    for item in _items(value, "default_user_tags"):
        name = _scalar(item, "default_user_tags")
        yield f"default_user_tags.{_escaped(name)}", "true", item.line


def _either(name: str, plain: str, tags: dict[str, str]) -> Callable[[Term], _Found]:
    """A number, or {tag,value}."""

    def read(value: Term) -> _Found:
        pair = value.pair if value.kind == "tuple" else None
        if pair is None:
            yield f"{name}.{plain}", _scalar(value, name), value.line
        elif pair[0].value in tags:
            yield f"{name}.{tags[pair[0].value]}", _scalar(pair[1], name), pair[1].line
        else:
            raise _Bad(value.line, f"{name}: no such form: {_short(value)}")

    return read


def _partition_handling(value: Term) -> _Found:
    name = "cluster_partition_handling"
    if value.kind == "tuple" and len(value.value) == 3:
        yield name, _scalar(value.value[0], name), value.line
        for number, node in enumerate(_items(value.value[1], name), 1):
            yield f"{name}.pause_if_all_down.nodes.{number}", _scalar(node, name), node.line
        yield f"{name}.pause_if_all_down.recover", _scalar(value.value[2], name), value.line
    else:
        yield name, _scalar(value, name), value.line


def _cluster_nodes(value: Term) -> _Found:
    nodes, kind = value, None
    if value.kind == "tuple" and len(value.value) == 2:
        nodes, kind = value.value
    for number, node in enumerate(_items(nodes, "cluster_nodes"), 1):
        name = f"cluster_formation.classic_config.nodes.{number}"
        yield name, _scalar(node, "cluster_nodes"), node.line
    if kind is not None:
        yield "cluster_formation.node_type", _scalar(kind, "cluster_nodes"), kind.line


def _socket_options(value: Term) -> _Found:
    name = "tcp_listen_options"
    items = _items(value, name)
    raw = raw_only(items)
    for item in items:
        pair = item.pair
        if item in raw or item.value in ("binary", "inet", "inet6"):
            continue
        if pair is None:
            raise _Bad(item.line, f"{name}: no socket option: {_short(item)}")
        option, given = pair
        if option.value == "linger" and given.kind == "tuple" and len(given.value) == 2:
            yield f"{name}.linger.on", _scalar(given.value[0], name), given.line
            yield f"{name}.linger.timeout", _scalar(given.value[1], name), given.line
        elif option.value not in ("packet", "reuseaddr", "active"):
            yield f"{name}.{option.value}", _scalar(given, name), item.line
    if raw:
        yield f"{name}.raw", as_text([item.plain() for item in raw]), raw[0].line


def _as_term(name: str) -> Callable[[Term], _Found]:
    def read(value: Term) -> _Found:
        yield name, as_text(value.plain()), value.line

    return read


def _log_levels(value: Term) -> _Found:
    """Of RabbitMQ before 3.7: [{connection,info}]."""
    for item in _items(value, "log_levels"):
        if item.pair is None:
            raise _Bad(item.line, f"log_levels: must be {{category,level}}: {_short(item)}")
        yield f"log.{item.pair[0].value}.level", _scalar(item.pair[1], "log_levels"), item.line


def _nothing(_value: Term) -> _Found:
    """config_entry_decoder, which was read before everything else."""
    return ()


_SPECIAL: dict[tuple[str, str], Callable[[Term], _Found]] = {
    ("rabbit", "tcp_listeners"): _listeners("listeners.tcp"),
    ("rabbit", "ssl_listeners"): _listeners("listeners.ssl"),
    ("rabbit", "loopback_users"): _loopback_users,
    ("rabbit", "default_permissions"): _default_permissions,
    ("rabbit", "default_user_tags"): _tags,
    ("rabbit", "auth_mechanisms"): _numbered("auth_mechanisms"),
    ("rabbit", "auth_backends"): _numbered("auth_backends"),
    ("rabbit", "vm_memory_high_watermark"): _either(
        "vm_memory_high_watermark", "relative", {"absolute": "absolute", "relative": "relative"}
    ),
    ("rabbit", "disk_free_limit"): _either(
        "disk_free_limit", "absolute", {"mem_relative": "relative", "absolute": "absolute"}
    ),
    ("rabbit", "cluster_partition_handling"): _partition_handling,
    ("rabbit", "cluster_nodes"): _cluster_nodes,
    ("rabbit", "tcp_listen_options"): _socket_options,
    ("rabbit", "log_levels"): _log_levels,
    ("rabbit", "config_entry_decoder"): _nothing,
    ("kernel", "inet_default_listen_options"): _as_term("inet_default_listen_options"),
    ("kernel", "inet_default_connect_options"): _as_term("inet_default_connect_options"),
}


# -- encrypted values -----------------------------------------------------------------------------


def _sealed(term: Term) -> Term | None:
    """The first {encrypted,...} inside."""
    if term.kind == "tuple" and len(term.value) == 2 and term.value[0].value == "encrypted":
        return term
    if term.kind in ("list", "tuple"):
        for item in term.value:
            if (found := _sealed(item)) is not None:
                return found
    return None


def _decrypted(term: Term, opened: Decoder) -> Term:
    if term.kind not in ("list", "tuple"):
        return term
    if term is _sealed(term):
        try:
            return from_plain(opened.term(_scalar(term.value[1], "encrypted")), term.line)
        except ValueError as error:
            raise _Bad(term.line, f"{_short(term)} cannot be decrypted: {error}") from error
    return Term(term.kind, tuple(_decrypted(item, opened) for item in term.value), term.line)


def from_plain(value: Plain, line: int) -> Term:
    """The inverse of `plain`; every part is on that line."""
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return Term(kind, tuple(from_plain(item, line) for item in value), line)
    if isinstance(value, dict):
        pairs = ((from_plain(k, line), from_plain(v, line)) for k, v in value.items())
        return Term("map", tuple(pairs), line)
    kinds: dict[type, str] = {erlang.Atom: "atom", erlang.Chars: "string", bytes: "binary"}
    return Term(kinds.get(type(value), "number"), value, line)
