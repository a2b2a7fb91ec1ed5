"""rabbitmq-env.conf in every form that people write, the seed's three among them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqd.config import env_file
from mqd.config.env_file import UNCHANGED, EnvironmentFile, read
from mqd.config.parse import ConfigError

ERL_ARGS = (
    "+K true +A30 +P 1048576 "
    "-kernel inet_default_connect_options [{nodelay,true},{raw,6,18,<<5000:64/native>>}] "
    "-kernel inet_default_listen_options [{raw,6,18,<<5000:64/native>>}]"
)
LINES = (
    "RABBITMQ_NODE_PORT=5672\n"
    "ulimit -S -n 1000\n"
    f'RABBITMQ_SERVER_ERL_ARGS="{ERL_ARGS}"\n'
    "RABBITMQ_NODE_IP_ADDRESS=172.16.254.60\n"
)
FORMS = {
    "lines": LINES,
    "one line": LINES.replace("\n", " "),
    "semicolons": LINES.replace("\n", "; "),
    "without prefix": LINES.replace("RABBITMQ_", ""),
    "export": LINES.replace("RABBITMQ_", "export RABBITMQ_"),
}


def of(tmp_path: Path, text: str, **environ: str) -> EnvironmentFile:
    path = tmp_path / "env.conf"
    path.write_text(text)
    return read(path, environ)


def values(found: EnvironmentFile) -> dict[str, str]:
    return {name.removeprefix("RABBITMQ_"): v for name, (v, _) in found.variables.items()}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_seed_says_the_same(tmp_path: Path, form: str) -> None:
    """E11: as lines, as one physical line, with and without the prefix."""
    found = of(tmp_path, FORMS[form])
    assert values(found) == {
        "NODE_PORT": "5672",
        "SERVER_ERL_ARGS": ERL_ARGS,
        "NODE_IP_ADDRESS": "172.16.254.60",
    }
    assert found.limits["open files"][0] == 1000
    assert bool(found.warnings) == (form == "one line")


def test_the_pasted_line_is_shown_as_it_should_be_written(tmp_path: Path) -> None:
    (warning,) = of(tmp_path, FORMS["one line"]).warnings
    first, *rest = warning.splitlines()
    assert first == (
        f"{tmp_path}/env.conf:1: sh refuses this file: ulimit: too many arguments; "
        "it is taken as if it said"
    )
    assert rest[:2] == ["    RABBITMQ_NODE_PORT=5672", "    ulimit -S -n 1000"]
    corrected = "\n".join(line.strip() for line in rest)
    assert values(of(tmp_path, corrected)) == values(of(tmp_path, LINES))


def test_it_is_a_shell_script(tmp_path: Path) -> None:
    text = 'H=abc\nif [ -n "$GIVEN" ]; then\n  NODENAME=rabbit@$H-$(echo x)\nfi\nX="two\nlines"\n'
    found = of(tmp_path, text, GIVEN="1")
    assert found.variables["NODENAME"] == ("rabbit@abc-x", 3)
    assert found.variables["X"] == ("two\nlines", 5)
    assert "NODENAME" not in of(tmp_path, text).variables


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=1\nfoo bar\n", ":2: sh refuses this file: foo: not found; 'foo' on line 2 is no NAME="),
        ("exit 3", ":1: sh refuses this file: sh ends with exit code 3; 'exit' on line 1 is no"),
        ("A=1\nB='open\n", ": sh refuses this file: Syntax error: Unterminated quoted string"),
        ("A=$X ulimit -n 1 2", ":1: sh refuses this file: ulimit: too many arguments; only sh"),
        ("ulimit -n many", ":1: 'ulimit -n many' is no limit"),
        ("A=1 ulimit -n", ":1: sh says"),
    ],
)
def test_what_sh_refuses_is_said_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    if problem.endswith("sh says"):
        assert of(tmp_path, text).warnings[0].partition(" ")[0] == f"{tmp_path}/env.conf:1:"
        return
    with pytest.raises(ConfigError) as caught:
        of(tmp_path, text)
    assert problem in caught.value.problems[0]


def test_a_limit_that_is_not_allowed_is_kept_as_a_wish(tmp_path: Path) -> None:
    found = of(tmp_path, "ulimit -S -n 999999999\nNODE_PORT=1\n")
    assert found.limits == {"open files": (999_999_999, UNCHANGED)}
    assert values(found) == {"NODE_PORT": "1"}


def test_a_script_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env_file, "RUN_S", 0.2)
    with pytest.raises(ConfigError, match=r"env\.conf:1: does not end within"):
        of(tmp_path, "while :; do :; done\n")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read(tmp_path, {})


WORDS = ["A=1", "RABBITMQ_B='x", "ulimit", "-n", "100", ";", "\n", "#", '"', "$(", "if", "&&", "\0"]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join))
def test_any_script_is_read_or_refused_by_line(tmp_path: Path, text: str) -> None:
    try:
        of(tmp_path, text)
    except ConfigError as error:
        assert all(p.startswith(f"{tmp_path}/env.conf:") for p in error.problems)  # noqa: PT017
