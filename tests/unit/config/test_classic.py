"""rabbitmq.config and advanced.config, alone and over rabbitmq.conf."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqd.config import pbe
from mqd.config.load import Configuration, load
from mqd.config.parse import ConfigError
from mqd.config.settings import NodeSettings, node_settings
from mqd.config.values import Address
from mqd.config.variables import Variables

TYPICAL = """%% as configuration management writes it
[
  {rabbit, [
    {tcp_listeners, [{"127.0.0.1", 5700}, 5701]},
    {tcp_listen_options, [binary, {packet, raw}, {reuseaddr, true}, {backlog, 128},
        {nodelay, true}, {linger, {true, 0}}, {exit_on_close, false},
        {raw, 6, 18, <<5000:64/native>>}]},
    {loopback_users, []},
    {default_user, <<"admin">>}, {default_pass, <<"s#cret">>},
    {default_permissions, [<<"^c">>, <<"^w">>, <<"^r">>]},
    {default_user_tags, [administrator, monitoring]},
    {vm_memory_high_watermark, {absolute, "1GiB"}},
    {disk_free_limit, {mem_relative, 1.5}},
    {heartbeat, 16#1E},
    {cluster_partition_handling, pause_minority},
    {cluster_nodes, {['rabbit@con1', 'rabbit@con2'], disc}},
    {log_levels, [{connection, warning}]},
    {log, [{console, [{enabled, true}, {level, debug}]}]},
    {hipe_compile, false},
    {msg_store_file_size_limit, 16777216},
    {my_own, x}
  ]},
  {kernel, [{net_ticktime, 20}, {inet_default_listen_options, [{raw, 6, 18, <<4000:64/native>>}]}]},
  {rabbitmq_management, [{listener, [{port, 15673}]}]}
].
"""


def loaded(tmp_path: Path, **texts: str) -> Configuration:
    paths = []
    for name, text in texts.items():
        path = tmp_path / name.replace("_", ".")
        path.write_text(text)
        paths.append(path)
    return load(paths, Variables({}))


def settled(tmp_path: Path, **texts: str) -> NodeSettings:
    return node_settings(loaded(tmp_path, **texts))


def problems(tmp_path: Path, **texts: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, **texts)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_a_typical_file_says_what_it_says(tmp_path: Path) -> None:
    found = settled(tmp_path, rabbitmq_config=TYPICAL)
    assert found.listeners == (Address("127.0.0.1", 5700), Address("", 5701))
    assert found.loopback_users == frozenset()
    first = found.first_boot
    assert (first.user, first.password) == ("admin", "s#cret")
    assert (first.configure, first.write, first.read) == ("^c", "^w", "^r")
    assert first.tags == ("administrator", "monitoring")
    assert found.resources.memory_absolute_bytes == 1024**3
    assert found.resources.disk_relative == 1.5
    assert found.amqp.heartbeat_s == 30
    assert found.log.categories == {"connection": "warning"}
    assert found.log.console_level == "debug"
    assert found.sockets.backlog == 128
    assert found.management.port == 15673
    options = {(one.level, one.name): one.value for one in found.sockets.options}
    assert options[socket.IPPROTO_TCP, 18] == (5000).to_bytes(8, "little")
    assert options[socket.IPPROTO_TCP, socket.TCP_NODELAY] == 1
    assert options[socket.SOL_SOCKET, socket.SO_LINGER] == b"\1\0\0\0\0\0\0\0"


def test_what_changes_nothing_is_named_with_line_and_reason(tmp_path: Path) -> None:
    notes = loaded(tmp_path, rabbitmq_config=TYPICAL).without_effect()
    found = {note.what: (note.origin.rpartition(":")[2], note.reason) for note in notes}
    assert found["rabbit.my_own"] == ("21", "no key of RabbitMQ 3.10, which ignores it as well")
    assert "no counterpart" in found["rabbit.msg_store_file_size_limit"][1]
    assert found["net_ticktime"][0] == "23"
    assert "management.listener.port" not in found
    assert all(reason for _, reason in found.values())


def test_a_key_of_an_erlang_file_replaces_all_that_was_said_of_it(tmp_path: Path) -> None:
    """observed: 3.10.8, tcp_listen_options in advanced.config drops those of rabbitmq.conf."""
    conf = (
        "heartbeat = 10\ntcp_listen_options.backlog = 77\ntcp_listen_options.keepalive = true\n"
        "listeners.tcp.1 = 5001\nlisteners.tcp.2 = 5002\nloopback_users.bob = true\n"
    )
    advanced = (
        "[{rabbit,[{heartbeat,20},{tcp_listen_options,[{nodelay,false}]},"
        '{tcp_listeners,[5003]},{loopback_users,[<<"guest">>]}]}].'
    )
    found = settled(tmp_path, rabbitmq_conf=conf, advanced_config=advanced)
    assert found.amqp.heartbeat_s == 20
    assert found.listeners == (Address("", 5003),)
    assert found.loopback_users == {"guest"}
    assert found.sockets.backlog == 1024
    names = {(one.level, one.name) for one in found.sockets.options}
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE) not in names


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{rabbit,[\n{heartbeat,"abc"}]}].', ":2: heartbeat = abc: must be an integer of 0 or"),
        ("[{rabbit,[{heartbeat,60},\n{tcp_listeners,[x]}]}].", ":2: listeners.tcp.1 = x: must be"),
        ("[{rabbit,[{heartbeat,60}]}", ":1: the file ends too early"),
        ("[{rabbit,[]}].\n[].", ":2: one list expected, here a second term begins"),
        ("{rabbit,[]}.", ":1: must be a list: [{rabbit,[...]}]."),
        ("[\n{rabbit}].", ":2: must be {application,[{key,value},...]}, but is {rabbit}"),
        ("[{rabbit,[1]}].", ":1: rabbit: must be {key,value}, but is 1"),
        ("[{rabbit,[{tcp_listeners,5}]}].", ":1: listeners.tcp: must be a list, but is 5"),
        ("[{rabbit,[{default_permissions,[]}]}].", ":1: default_permissions: must be three"),
        ("[{rabbit,[{vm_memory_high_watermark,{x,1}}]}].", ":1: vm_memory_high_watermark: no such"),
        (
            "[{rabbit,[{tcp_listen_options,[{raw,6,18,5}]}]}].",
            ":1: tcp_listen_options.raw = [{raw,6,18,5}]: must be a list of socket options",
        ),
        (
            "[{rabbit,[{tcp_listen_options,[{no_delay,true}]}]}].",
            ":1: unknown key 'tcp_listen_options.no_delay'; did you mean 'tcp_listen_options.nodel",
        ),
        ("[{rabbit,[{default_user,<<255>>}]}].", ":1: default_user = <<255>>: is not UTF-8"),
        (
            '[{rabbit,[{default_pass,{encrypted,<<"x">>}}]}].',
            ":1: default_pass is encrypted, and there is no config_entry_decoder",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, text: str, problem: str) -> None:
    (found, *_) = problems(tmp_path, rabbitmq_config=text)
    assert found.startswith(f"rabbitmq.config{problem}")


def encrypted(value: object, *scheme: str | int) -> str:
    return pbe.encrypt_term(value, "pass", *(scheme or pbe.DEFAULTS))  # type: ignore[arg-type]


def test_encrypted_values_are_read_from_both_forms(tmp_path: Path) -> None:
    classic = (
        f'[{{rabbit,[{{default_pass,{{encrypted,<<"{encrypted(b"one")}">>}}}},'
        '{config_entry_decoder,[{passphrase,<<"pass">>}]}]}].'
    )
    assert settled(tmp_path, a_config=classic).first_boot.password == "one"
    conf = f"default_pass = encrypted:{encrypted(b'two')}\nconfig_entry_decoder.passphrase = pass\n"
    assert settled(tmp_path, a_conf=conf).first_boot.password == "two"
    older = f"default_pass = encrypted:{encrypted(b'three', *pbe.OLD_DEFAULTS)}\n"
    (tmp_path / "secret").write_text("pass\n")
    older += f"config_entry_decoder.passphrase_file = {tmp_path}/secret\n"
    assert settled(tmp_path, a_conf=older).first_boot.password == "three"


def test_what_3_10_8_encrypted_is_read(tmp_path: Path) -> None:
    text = "KEEk1M8LiUVwIn8CxI1bmh8jpdGptxDdRfKJAwsHcX86euDBmagNA4VDxo0hACLr"
    classic = (
        f'[{{rabbit,[{{default_user,{{encrypted,<<"{text}">>}}}},'
        '{config_entry_decoder,[{passphrase,"pass"}]}]}].'
    )
    assert settled(tmp_path, a_config=classic).first_boot.user == "guest"


def test_a_passphrase_that_does_not_fit_is_said_where_it_matters(tmp_path: Path) -> None:
    conf = f"\ndefault_pass = encrypted:{encrypted(b'x')}\nconfig_entry_decoder.passphrase = no\n"
    (problem,) = problems(tmp_path, a_conf=conf)
    assert problem.startswith("a.conf:2: default_pass cannot be decrypted: ")
    conf = "default_pass = encrypted:AAAA\n"
    assert problems(tmp_path, a_conf=conf) == [
        "a.conf:1: default_pass is encrypted, and there is no config_entry_decoder"
    ]
    decoder = '[{rabbit,[\n{config_entry_decoder,[{passphrase,{file,"/no/where"}}]}]}].'
    (problem,) = problems(tmp_path, a_config=decoder)
    assert problem == (
        "a.config:2: config_entry_decoder: passphrase: /no/where cannot be read: "
        "No such file or directory"
    )


_PIECES = [
    "[", "]", "{", "}", ",", ".", "rabbit", "heartbeat", "tcp_listeners", "tcp_listen_options",
    "log", "console", "level", "encrypted", "config_entry_decoder", "passphrase", "kernel", "5",
    '"x"', '<<"y">>', "1.5", "true", "#{a => 1}", "{rabbit,[", "]}", "{heartbeat,", "\n", "raw",
]  # fmt: skip


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.sampled_from(_PIECES), max_size=25).map("".join))
def test_any_text_is_read_or_refused_by_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fuzz.config"
    for candidate in (text, f"[{{rabbit,[{text}]}}]."):
        path.write_text(candidate)
        try:
            node_settings(load([path], Variables({})))
        except ConfigError as error:
            assert all(p.startswith(f"{path}:") for p in error.problems)  # noqa: PT017
