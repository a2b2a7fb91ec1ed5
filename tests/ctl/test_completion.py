"""Completion of names, by bash itself and by click for the others, from a real node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes import Node
from tests.waiting import PATIENCE_S, eventually

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("completion")) as made:
        made.await_control()
        made.ctl("add_vhost", "vee")
        made.ctl("add_user", "ulla", "x")
        made.ctl("set_policy", "-p", "vee", "polly", "x", '{"max-length":1}')
        yield made


def offered(node: Node, shell: str, words: str) -> set[str]:
    """What mqctl tells the shell to offer for the last word; nothing, where the node or the tool
    was slow: nobody waits for that with a finger on the key."""
    argv = words.split(" ")
    environment = node.environment | {
        "_MQCTL_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": argv[-1] if shell == "fish" else str(len(argv) - 1),
    }
    done = subprocess.run(
        [BIN / "mqctl"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stderr == ""
    lines = done.stdout.split("\n")
    if shell == "zsh":
        return set(lines[1::3]) - {""}
    return {line.partition(",")[2] for line in lines if line}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_are_those_of_the_node(node: Node, shell: str) -> None:
    eventually(lambda: offered(node, shell, "mqctl delete_user u") == {"ulla"})
    eventually(lambda: offered(node, shell, "mqctl delete_vhost v") == {"vee"})
    eventually(lambda: offered(node, shell, "mqctl list_queues -p v") == {"vee"})
    eventually(lambda: offered(node, shell, "mqctl clear_policy -p vee p") == {"polly"})
    assert offered(node, shell, "mqctl clear_policy p") == set()


def test_nothing_is_offered_for_what_is_to_be_made(node: Node) -> None:
    assert offered(node, "bash", "mqctl add_user u") == set()


def test_a_node_that_is_not_there_has_no_names_and_no_words(node: Node) -> None:
    assert offered(node, "bash", "mqctl -n nosuch@localhost delete_user u") == set()


INSTALLED = {  # how each shell is had to complete a line, with what install.sh lays down
    "bash": """
        . {share}/bash-completion/completions/mqctl
        COMP_WORDS=(mqctl delete_user u); COMP_CWORD=2
        $(complete -p mqctl | sed 's/.*-F \\([^ ]*\\).*/\\1/') mqctl u delete_user
        echo "${COMPREPLY[@]}"
        """,
    "zsh": """
        fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D
        autoload +X -Uz _mqctl; _mqctl
        compadd() { for word in $@; do [[ $word == -* ]] || print ${(P)word} $word; done }
        _describe() { print ${(P)3} ${(P)5} }
        words=(mqctl delete_user u); CURRENT=3
        ${_comps[mqctl]}
        """,
    "fish": """
        source {share}/fish/vendor_completions.d/mqctl.fish
        complete -C 'mqctl delete_user u'
        """,
}


@pytest.mark.parametrize("shell", INSTALLED)
def test_installed_files_complete(node: Node, shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    root = Path(__file__).resolve().parents[2]
    path = f"{BIN}:{os.environ['PATH']}"
    install = root / "packaging/install.sh"
    subprocess.run(
        [install], env={"DESTDIR": str(tmp_path), "PATH": path}, timeout=PATIENCE_S, check=True
    )
    script = INSTALLED[shell].replace("{share}", str(tmp_path / "usr/share"))

    def completed() -> str:
        return subprocess.run(
            [shell, "-c", script],
            env=node.environment | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        ).stdout

    eventually(lambda: "ulla" in completed().split())
