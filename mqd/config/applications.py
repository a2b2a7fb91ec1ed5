"""The application environment of RabbitMQ, as `mqctl environment` shows it.

Decides which applications and keys are listed and with which Erlang terms: RabbitMQ 3.10.8's own
(observed), with what this node's configuration says in place of its defaults. What a key without
effect says is shown as it was set, since that is what the file says; what mqd does instead is in
`mqd --check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from mqd.config.default_terms import DEFAULTS
from mqd.config.erlang import Atom, Chars, Plain, parse
from mqd.config.places import place
from mqd.config.socket_options import OptionList
from mqd.config.values import Address, Value

Applications = dict[str, dict[str, Plain]]


@cache
def defaults() -> Mapping[str, Mapping[str, Plain]]:
    """By application and key, with the placeholders of paths in it."""
    return {app: dict(rows) for app, rows in parse(DEFAULTS).plain()}


def environment(
    effective: Iterable[tuple[str, str, Value]],
    classic: Mapping[str, Mapping[str, Plain]],
    paths: Mapping[str, str],
    plugins: Iterable[str] = (),
) -> Applications:
    """effective: (row of the table, key as written, value) of everything that is set, and of
    mqd's own defaults where RabbitMQ shows the key. classic: terms of Erlang files, which stand
    as they were written. paths: what the placeholders stand for.
    """
    found: Applications = {
        app: {key: _filled(value, paths) for key, value in rows.items()}
        for app, rows in defaults().items()
    }
    by_row: dict[str, dict[str, Value]] = {}
    for row, name, value in effective:
        by_row.setdefault(row, {})[name] = value
    for app in plugins:
        found.setdefault(app, {})
    for shape in _SHAPES:
        shape(by_row, found["rabbit"])
    for row, named in by_row.items():
        if row not in _SHAPED and row not in _HIDDEN and "$" not in row:
            _put(found, place(row), _term(row, next(iter(named.values()))))
    for app, rows in classic.items():
        found.setdefault(app, {}).update(rows)
    found["rabbit"].pop("default_pass", None)  # observed: 3.10.8 leaves it out
    return {app: dict(sorted(found[app].items())) for app in sorted(found)}


def _filled(value: Plain, paths: Mapping[str, str]) -> Plain:
    if isinstance(value, Chars) and value.startswith("@"):
        return Chars(paths.get(value.strip("@"), ""))
    return value


def _put(found: Applications, path: tuple[str, ...], value: Plain) -> None:
    """At its place; lists on the way are made, and what is there already is kept."""
    rows = found.setdefault(path[0], {})
    if len(path) == 2:
        rows[path[1]] = value
    elif len(path) > 2:
        rows[path[1]] = _nested(rows.get(path[1], []), path[2:], value)


def _nested(pairs: Plain, path: tuple[str, ...], value: Plain) -> list[Plain]:
    found = [pair for pair in pairs if isinstance(pair, tuple) and len(pair) == 2]
    old: Plain = next((inner for name, inner in found if name == path[0]), [])
    new = (
        value if len(path) == 1 else _nested(old if isinstance(old, list) else [], path[1:], value)
    )
    if any(name == path[0] for name, _ in found):
        return [(name, new if name == path[0] else inner) for name, inner in found]
    return [*found, (Atom(path[0]), new)]


# Texts that are binaries or words there; all others are strings (observed: cuttlefish of 3.10.8).
_BINARY_WORDS = """
    default_user default_pass default_vhost queue_master_locator queue_leader_locator
    cluster_formation.dns.hostname event_exchange.vhost mqtt.vhost mqtt.default_user
    mqtt.default_pass auth_oauth2.resource_server_id auth_oauth2.default_key stomp.default_vhost
"""
_BINARY = frozenset(_BINARY_WORDS.split())
_ATOM_WORDS = """
    password_hashing_module credential_validator.validation_backend
    cluster_formation.peer_discovery_backend mqtt.retained_message_store
    definitions.import_backend ssl_cert_login_from
"""
_ATOM = frozenset(_ATOM_WORDS.split())
_INFINITE = frozenset(("connection_max", "handshake_timeout"))
_NO_WORDS = frozenset(("true", "false"))


def _term(row: str, value: Value) -> Plain:
    from mqd.config.schema import find

    if isinstance(value, bool):
        return Atom("true" if value else "false")
    if isinstance(value, OptionList):
        return parse(value.text).plain()
    if row in _INFINITE and not value:
        return Atom("infinity")
    if isinstance(value, int | float):
        return value
    text = str(value)
    if row in _BINARY:
        return text.encode("utf-8", "surrogateescape")
    key = find(row)
    if (
        row in _ATOM
        or text in _NO_WORDS
        or (key is not None and key.kind.label.startswith("one of"))
    ):
        return Atom(text)
    return Chars(text)


# -- keys that make one term together -------------------------------------------------------------

_ByRow = Mapping[str, Mapping[str, Value]]


def _last(name: str) -> str:
    from mqd.config.schema import segments

    return segments(name)[-1]


def _single(rows: _ByRow, name: str) -> Any:
    return next(iter(rows.get(name, {}).values()), None)


def _listeners(kind: str) -> Callable[[_ByRow, dict[str, Plain]], None]:
    def shape(rows: _ByRow, rabbit: dict[str, Plain]) -> None:
        named = rows.get(f"listeners.{kind}.$name", {})
        if named:
            rabbit[f"{kind}_listeners"] = [
                (Chars(a.host), a.port) if a.host else a.port
                for a in reversed(list(named.values()))
                if isinstance(a, Address)
            ]
        elif f"listeners.{kind}" in rows:
            rabbit[f"{kind}_listeners"] = []

    return shape


def _users(rows: _ByRow, rabbit: dict[str, Plain]) -> None:
    named = {_last(k): v for k, v in rows.get("loopback_users.$user", {}).items()}
    if "loopback_users" in rows:
        rabbit["loopback_users"] = []
    elif named:
        confined = {"guest": True, **named}
        rabbit["loopback_users"] = [user.encode() for user, on in confined.items() if on][::-1]


def _first_boot(rows: _ByRow, rabbit: dict[str, Plain]) -> None:
    rabbit["default_permissions"] = [
        str(_single(rows, f"default_permissions.{part}") or ".*").encode()
        for part in ("configure", "write", "read")
    ]
    tags = rows.get("default_user_tags.$tag", {})
    if tags:
        rabbit["default_user_tags"] = [Atom(_last(name)) for name, on in tags.items() if on][::-1]


_BACKENDS = {
    "internal": "rabbit_auth_backend_internal",
    "ldap": "rabbit_auth_backend_ldap",
    "http": "rabbit_auth_backend_http",
    "cache": "rabbit_auth_backend_cache",
    "oauth": "rabbit_auth_backend_oauth2",
    "oauth2": "rabbit_auth_backend_oauth2",
    "dummy": "rabbit_auth_backend_dummy",
    "amqp": "rabbit_auth_backend_amqp",
}


def _authentication(rows: _ByRow, rabbit: dict[str, Plain]) -> None:
    mechanisms = rows.get("auth_mechanisms.$num", {})
    if mechanisms:
        ordered = sorted(mechanisms, key=_last)
        rabbit["auth_mechanisms"] = [Atom(str(mechanisms[name])) for name in ordered]
    slots: dict[str, Plain] = {}
    for name, value in rows.get("auth_backends.$num", {}).items():
        slots[_last(name)] = _backend(value)
    parts: dict[str, dict[str, Plain]] = {}
    for which in ("authn", "authz"):
        for name, value in rows.get(f"auth_backends.$num.{which}", {}).items():
            parts.setdefault(name.split(".")[1], {})[which] = _backend(value)
    for slot, pair in parts.items():
        slots[slot] = tuple(pair.get(w, pair.get("authn")) for w in ("authn", "authz"))
    if slots:
        rabbit["auth_backends"] = [slots[slot] for slot in sorted(slots)]


def _backend(value: Value) -> Atom:
    return Atom(_BACKENDS.get(str(value), str(value)))


def _watermarks(rows: _ByRow, rabbit: dict[str, Plain]) -> None:
    absolute = _single(rows, "vm_memory_high_watermark.absolute")
    relative = _single(rows, "vm_memory_high_watermark.relative")
    if absolute is not None:
        rabbit["vm_memory_high_watermark"] = (Atom("absolute"), _size(absolute))
    elif relative is not None:
        rabbit["vm_memory_high_watermark"] = relative
    relative = _single(rows, "disk_free_limit.relative")
    absolute = _single(rows, "disk_free_limit.absolute")
    if relative is not None:
        rabbit["disk_free_limit"] = (Atom("mem_relative"), relative)
    elif absolute is not None:
        rabbit["disk_free_limit"] = _size(absolute)


def _size(value: Value) -> Plain:
    return Chars(value) if isinstance(value, str) else value


# in the order in which 3.10.8 lists what rabbitmq.conf sets (observed)
_SOCKET_WORDS = """
    tos sndbuf send_timeout_close send_timeout recbuf priority port low_watermark low_msgq_watermark
    keepalive high_watermark high_msgq_watermark fd exit_on_close dontroute delay_send buffer
    nodelay backlog
"""


def _sockets(rows: _ByRow, rabbit: dict[str, Plain]) -> None:
    """What is set replaces RabbitMQ's own list altogether."""
    prefix = "tcp_listen_options."
    given = {r.removeprefix(prefix): _single(rows, r) for r in rows if r.startswith(prefix)}
    if not given:
        if "tcp_listen_options" in rows:
            rabbit["tcp_listen_options"] = []
        return
    names = [name for name in _SOCKET_WORDS.split() if name in given]
    found: list[Plain] = [(Atom(name), _term(prefix + name, given[name])) for name in names]
    if "raw" in given:
        found += parse(str(given["raw"])).plain()
    if {"linger.on", "linger.timeout"} & given.keys():
        on = Atom("true" if given.get("linger.on") else "false")
        found.append((Atom("linger"), (on, given.get("linger.timeout", 0))))
    rabbit["tcp_listen_options"] = found


def _cluster(rows: _ByRow, rabbit: dict[str, Plain]) -> None:
    nodes = rows.get("cluster_formation.classic_config.nodes.$node", {})
    kind = str(_single(rows, "cluster_formation.node_type") or "disc").replace("disk", "disc")
    if nodes or kind != "disc":
        rabbit["cluster_nodes"] = ([Atom(str(n)) for n in nodes.values()][::-1], Atom(kind))
    handling = _single(rows, "cluster_partition_handling")
    if handling == "pause_if_all_down":
        prefix = "cluster_partition_handling.pause_if_all_down"
        named = rows.get(f"{prefix}.nodes.$name", {})
        rabbit["cluster_partition_handling"] = (
            Atom("pause_if_all_down"),
            [Atom(str(node)) for node in named.values()],
            Atom(str(_single(rows, f"{prefix}.recover") or "ignore")),
        )
    elif handling is not None:
        rabbit["cluster_partition_handling"] = Atom(str(handling))


_SHAPES = (
    _listeners("tcp"),
    _listeners("ssl"),
    _users,
    _first_boot,
    _authentication,
    _watermarks,
    _sockets,
    _cluster,
)
_SHAPED_WORDS = """
    listeners.tcp listeners.ssl loopback_users default_permissions.configure
    default_permissions.read default_permissions.write vm_memory_high_watermark.absolute
    vm_memory_high_watermark.relative disk_free_limit.absolute disk_free_limit.relative
    tcp_listen_options tcp_listen_options.backlog tcp_listen_options.nodelay
    tcp_listen_options.keepalive tcp_listen_options.recbuf tcp_listen_options.sndbuf
    tcp_listen_options.priority tcp_listen_options.tos tcp_listen_options.dontroute
    tcp_listen_options.raw tcp_listen_options.linger.on tcp_listen_options.linger.timeout
    cluster_formation.node_type cluster_partition_handling
    cluster_partition_handling.pause_if_all_down.recover
"""
_SHAPED = frozenset(_SHAPED_WORDS.split())
# the passphrase, and what only stands in the runtime's own flags
_HIDDEN_WORDS = """
    config_entry_decoder.passphrase config_entry_decoder.passphrase_file
    config_entry_decoder.cipher config_entry_decoder.hash config_entry_decoder.iterations erlang.K
"""
_HIDDEN = frozenset(_HIDDEN_WORDS.split())
