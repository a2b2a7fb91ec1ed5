"""Flags of the Erlang runtime: what is taken, and why the rest changes nothing (E3 to E9)."""

from __future__ import annotations

import socket

import pytest

from mqd.config.load import Configuration, load
from mqd.config.parse import ConfigError
from mqd.config.settings import node_settings
from mqd.config.variables import Variables


def loaded(**variables: str) -> Configuration:
    return load([], Variables({f"RABBITMQ_{name}": text for name, text in variables.items()}))


def test_the_flags_of_the_seed() -> None:
    config = loaded(
        SERVER_ERL_ARGS=(
            "+K true +A30 +P 1048576 "
            "-kernel inet_default_connect_options [{nodelay,true},{raw,6,18,<<5000:64/native>>}] "
            "-kernel inet_default_listen_options [{raw,6,18,<<5000:64/native>>}]"
        )
    )
    assert config.threads == 30
    reasons = {note.what: note.reason for note in config.without_effect()}
    assert reasons["+K true"] == "mqd always waits with epoll"
    assert "+P 1048576" in reasons
    assert "inet_default_connect_options" in reasons
    options = node_settings(config).sockets.options
    expected = (5000).to_bytes(8, "little")
    assert (socket.IPPROTO_TCP, 18, expected) in [(o.level, o.name, o.value) for o in options]


def test_what_rabbitmq_conf_says_stands_above(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.conf"
    path.write_text("heartbeat = 7\n")
    variables = Variables({"RABBITMQ_SERVER_START_ARGS": "-rabbit heartbeat 5 frame_max 8192"})
    assert load([path], variables)["heartbeat"] == 7
    variables = Variables({"RABBITMQ_SERVER_START_ARGS": "-rabbit heartbeat 5"})
    assert load([], variables)["heartbeat"] == 5


def test_threads_in_both_spellings() -> None:
    assert loaded(SERVER_ADDITIONAL_ERL_ARGS="+A 12").threads == 12
    assert loaded(IO_THREAD_POOL_SIZE="64").threads == 64
    assert loaded(IO_THREAD_POOL_SIZE="64", SERVER_ERL_ARGS="+A7").threads == 7
    assert loaded().threads is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("+A many", "+A wants a number from 0 to 1024: +A many"),
        ("+A 9999", "+A wants a number"),
        ("-kernel inet_default_listen_options [{raw,6", "-kernel inet_default_listen_options: the"),
        ("-kernel inet_default_listen_options [foo]", "inet_default_listen_options = [foo]: must"),
        ("-rabbit heartbeat 'x", "-rabbit heartbeat: a text begins with ' and"),
        ("-rabbit heartbeat x", "heartbeat = x: must be an integer"),
    ],
)
def test_what_is_wrong_is_said_with_the_variable(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(SERVER_ERL_ARGS=text)
    assert caught.value.problems[0].startswith(f"RABBITMQ_SERVER_ERL_ARGS: {problem}")


def test_quotes_are_erlangs() -> None:
    """As the Pacemaker agent rabbitmq-server-ha writes them."""
    config = loaded(SERVER_START_ARGS=' -mnesia dir "/data/rabbit@a" -sname rabbit@a')
    assert {note.what for note in config.without_effect()} >= {"-sname rabbit@a"}
    with pytest.raises(ConfigError) as caught:
        loaded(SERVER_START_ARGS="-mnesia dir /data")
    assert "-mnesia dir: syntax error before '/'" in caught.value.problems[0]


def test_other_flags_are_named() -> None:
    config = loaded(SERVER_ERL_ARGS="-smp enable -noshell +sbwt none -setcookie x +zzz 1")
    assert {note.what for note in config.without_effect()} == {
        "-smp enable",
        "-noshell",
        "+sbwt none",
        "-setcookie x",
        "+zzz 1",
    }
