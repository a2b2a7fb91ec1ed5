"""Nothing undocumented, and nothing documented that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mqd.config.manual import page
from mqd.config.schema import schema
from mqd.config.variables import VARIABLES
from mqd.daemon.report import USAGE
from mqd.management.manual import page as management_page

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()


def manual(name: str) -> str:
    """A page's text without the roff escapes that hide words."""
    return (PROJECT / "man" / name).read_text().replace("\\-", "-")


def test_the_configuration_page_is_that_of_the_table() -> None:
    committed = (PROJECT / "man" / "mqd.conf.5").read_text()
    assert committed == "\n".join(page()) + "\n", "run make man"


def test_the_page_of_the_management_api_is_that_of_its_routes() -> None:
    committed = (PROJECT / "man" / "mqd-management.7").read_text()
    assert committed == "\n".join(management_page()) + "\n", "run make man"


def test_every_configuration_key_is_documented() -> None:
    text = manual("mqd.conf.5")
    words = set(re.findall(r"[^\s,]+", text))
    missing = [key.name for key in schema().keys if not {key.name, f"{key.name}."} & words]
    assert missing == []


def test_every_environment_variable_is_documented() -> None:
    text = manual("mqd.conf.5")
    assert [name for name in VARIABLES if f".B {name}\n" not in text] == []


def test_every_option_of_the_program_is_in_its_page() -> None:
    options = re.findall(r"^  (-[-a-z]+)", USAGE, re.MULTILINE)
    assert len(options) == 4
    assert [option for option in options if f".B {option}\n" not in manual("mqd.8")] == []


def test_ci_runs_the_command_of_the_readme() -> None:
    commands = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)
    assert [command.rsplit("&& ", 1)[1] for command in commands] == [
        ".venv/bin/mqd",
        ".venv/bin/python -m pytest -n 2",
    ]
    assert f"\n{commands[1]}\n" in (PROJECT / ".ci" / "run").read_text()


@pytest.mark.parametrize("package", ["mqd", "mqctl"])
def test_files_named_by_the_walks_exist(package: str) -> None:
    walk = README.split("## The walk of a publish")[1].split("## Work on it")[0]
    named = re.findall(r"`([a-z_/]+\.py)", walk)
    assert len(named) > 15
    roots = (PROJECT, PROJECT / "mqd", PROJECT / "mqctl")
    assert [name for name in named if not any((root / name).is_file() for root in roots)] == []
    assert package in walk


def test_the_changelog_has_unreleased_on_top() -> None:
    headings = re.findall(r"^## .*$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "## [Unreleased]"


def test_make_targets_that_the_readme_names_exist() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert named
    assert named <= targets
