"""The command line as Elixir's OptionParser reads it (observed: 3.10.8)."""

from __future__ import annotations

import pytest

from mqctl.options import GLOBAL_ALIASES, GLOBAL_SWITCHES, Kind, parse, parse_global

SWITCHES: dict[str, Kind] = {**GLOBAL_SWITCHES, "if_empty": "boolean", "ratio": "float"}


def test_options_stand_anywhere() -> None:
    parsed = parse_global(["-q", "list_users", "--node", "a@b", "x", "-p", "/v"])
    assert parsed.arguments == ["list_users", "x"]
    assert parsed.options == {"quiet": True, "node": "a@b", "vhost": "/v"}
    assert parsed.invalid == []


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (["--timeout=5"], {"timeout": 5}),
        (["--timeout", "5"], {"timeout": 5}),
        (["-t5"], {"timeout": 5}),
        (["-t", "-5"], {"timeout": -5}),
        (["--no-quiet"], {"quiet": False}),
        (["--quiet=false"], {"quiet": False}),
        (["-qs"], {"quiet": True, "silent": True}),
        (["-n", "a", "-n", "b"], {"node": "b"}),
        (["--vhost="], {"vhost": ""}),
        (["-?"], {"help": True}),
    ],
)
def test_forms(argv: list[str], options: dict[str, object]) -> None:
    parsed = parse_global(argv)
    assert parsed.options == options
    assert parsed.invalid == []
    assert parsed.arguments == []


@pytest.mark.parametrize(
    ("argv", "invalid"),
    [
        (["--bad"], [("--bad", None)]),
        (["--bad=1"], [("--bad", None)]),
        (["-z"], [("-z", None)]),
        (["-t", "x"], [("-t", "x")]),
        (["--timeout=abc"], [("--timeout", "abc")]),
        (["--timeout", "1.5"], [("--timeout", "1.5")]),
        (["--formatter"], [("--formatter", None)]),
        (["-n", "-q"], [("-n", None)]),
        (["-pw2"], [("-p", None), ("-w", None)]),
        (["--dry_run"], [("--dry_run", None)]),  # underscores are no option syntax
        (["--quiet=x"], [("--quiet", "x")]),
    ],
)
def test_invalid_options_are_named_as_typed(
    argv: list[str], invalid: list[tuple[str, str | None]]
) -> None:
    assert parse_global(argv).invalid == invalid


def test_double_dash_ends_options() -> None:
    parsed = parse_global(["add_user", "--", "-dash", "--x"])
    assert parsed.arguments == ["add_user", "-dash", "--x"]
    assert parsed.invalid == []


def test_a_number_with_a_sign_is_an_argument() -> None:
    assert parse_global(["x", "-5", "-"]).arguments == ["x", "-5", "-"]


def test_own_switches_and_aliases() -> None:
    parsed = parse(
        ["delete_queue", "q", "-e", "--ratio", "0.5"],
        SWITCHES,
        {**GLOBAL_ALIASES, "e": "if_empty"},
    )
    assert parsed.options == {"if_empty": True, "ratio": 0.5}
