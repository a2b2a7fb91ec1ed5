"""Configuration files of every kind, broken at random: a place and a reason, or a configuration.

Real texts are mutated (pieces cut, doubled, swapped, strange characters put in), so that what comes
is nearly right and goes deep. Whatever it is, reading it ends with a whole configuration or with a
ConfigError whose every problem names a place, and makes nothing on disc.
"""

from __future__ import annotations

import os
import random
import re
import string
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mqd.config import pbe
from mqd.config.parse import ConfigError
from mqd.daemon.main import main
from mqd.daemon.report import checked
from mqd.daemon.setup import Setup, read_setup

SEALED = pbe.encrypt_term(b"sealed", "p", *pbe.DEFAULTS)
CONF = f"""\
# rabbitmq.conf
listeners.tcp.1 = 127.0.0.1:5672
loopback_users.guest = false
default_user = $(SOMEBODY)
default_pass = 's # t'
vm_memory_high_watermark.relative = 0.4
disk_free_limit.absolute = 2GB
tcp_listen_options.raw = [{{raw,6,18,<<5000:64/native>>}}]
log.connection.level = warning
auth_backends.1 = internal
heartbeat = 60
ssl_options.verify = verify_peer
config_entry_decoder.passphrase = p
cluster_name = encrypted:{SEALED}
"""
ADVANCED = """\
%% advanced.config
[{rabbit, [{tcp_listeners, [{"127.0.0.1", 5673}, 5674]},
           {tcp_listen_options, [{backlog, 128}, {linger, {true, 0}}, {raw, 6, 18, <<1:32>>}]},
           {default_permissions, [<<".*">>, <<".*">>, <<".*">>]},
           {vm_memory_high_watermark, {absolute, "1GB"}},
           {log, [{console, [{enabled, true}, {level, debug}]}]},
           {cluster_nodes, {['rabbit@a', 'rabbit@b'], disc}},
           {default_pass, {encrypted, <<"SEALED">>}},
           {config_entry_decoder, [{passphrase, <<"p">>}, {cipher, aes_128_cbc}]}]},
 {kernel, [{inet_default_listen_options, [{nodelay, true}]}, {net_ticktime, 16#1E}]}].
"""
ADVANCED = ADVANCED.replace("SEALED", SEALED)
ENV = """\
NODENAME=rabbit@here
export RABBITMQ_NODE_PORT=5672
ulimit -S -n 512
RABBITMQ_SERVER_ERL_ARGS="+K true +A30 -kernel inet_default_listen_options [{raw,6,18,<<1:64>>}]"
if [ -n "$HOME" ]; then LOG_BASE=/tmp/x; fi
"""
FILES = {"rabbitmq.conf": CONF, "advanced.config": ADVANCED, "env.conf": ENV}
STRANGE = [*"=#'\"\\$()[]{}<>,.:;|\n\t %", "\x00", "é", "\ufeff", "\u2028", "9" * 400, "encrypted:"]
PLACE = re.compile(r"(/\S+?:\d+: |RABBITMQ_\w+: |/\S+: cannot be read)")


def read(tmp_path: Path, texts: Mapping[str, str]) -> Setup:
    for file, text in texts.items():
        (tmp_path / file).write_text(text)
    environ = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "SOMEBODY": "bob",
        "RABBITMQ_CONFIG_FILE": str(tmp_path / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(tmp_path / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(tmp_path / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(tmp_path / "env.conf"),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "mnesia"),
    }
    return read_setup(environ)


def test_as_they_are_they_are_right(tmp_path: Path) -> None:
    read(tmp_path, FILES)


def mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.randint(1, 4)):
        at, to = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        to = min(to, at + 30)
        kind = chance.randrange(5)
        if kind == 0:
            text = text[:at] + text[to:]
        elif kind == 1:
            text = text[:to] + text[at:]
        elif kind == 2:
            text = text[:at] + chance.choice(STRANGE) + text[at:]
        elif kind == 3:
            text = text[:at] + chance.choice(string.printable) + text[at + 1 :]
        else:
            lines = text.split("\n")
            chance.shuffle(lines)
            text = "\n".join(lines)
    return text


def harmless(script: str) -> bool:
    """A script is run: only words that do no harm may come of mutating it."""
    words = set(re.findall(r"[A-Za-z_]+", script))
    return words <= set(re.findall(r"[A-Za-z_]+", ENV)) and ">" not in script.replace(">>}", "")


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(0, 2**32), st.sampled_from(sorted(FILES)))
@example(1, "rabbitmq.conf")
def test_a_broken_file_is_refused_with_its_place(tmp_path: Path, seed: int, name: str) -> None:
    chance = random.Random(seed)
    texts = FILES | {name: mutated(FILES[name], chance)}
    if not harmless(texts["env.conf"]):
        return
    try:
        setup = read(tmp_path, texts)
    except ConfigError as error:
        placeless = [problem for problem in error.problems if not PLACE.match(problem)]
        assert (placeless, bool(error.problems)) == ([], True)  # noqa: PT017
    else:
        assert list(checked(setup.configuration, setup.variables, setup.paths))
    assert sorted(os.listdir(tmp_path)) == sorted(FILES)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("rabbitmq.conf", "heartbeat = 5\nframe_max\n", 2),
        ("rabbitmq.config", "[{rabbit,[\n{heartbeat,x}]}].", 2),
        ("env.conf", "NODENAME=a@h\nNODE_PORT=1\nfrobnicate now\n", 3),
    ],
)
def test_the_program_ends_with_78_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    line: int,
) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable, place in (
        ("CONFIG_FILE", "rabbitmq"),
        ("CONFIG_FILES", "conf.d"),
        ("CONF_ENV_FILE", "env.conf"),
        ("MNESIA_BASE", "mnesia"),
        ("LOG_BASE", "log"),
    ):
        monkeypatch.setenv(f"RABBITMQ_{variable}", str(tmp_path / place))
    for arguments in ([], ["--check"], ["-detached"]):
        if arguments == ["-detached"]:
            continue  # forks; it reads the same way
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (78, "")
        assert said.err.startswith(f"mqd: {tmp_path}/{name}:{line}: ")
        assert "Traceback" not in said.err
    assert os.listdir(tmp_path) == [name]
