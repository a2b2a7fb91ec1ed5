"""The click tree that shells complete from."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete

from mqctl import catalogue
from mqctl.completion import variable
from mqctl.tree import Tool


def complete(args: list[str], word: str) -> list[str]:
    shell = ShellComplete(Tool("mqctl", catalogue.CTL), {}, "mqctl", "_MQCTL_COMPLETE")
    return [item.value for item in shell.get_completions(args, word)]


def test_names_of_verbs() -> None:
    assert complete([], "list_us") == [
        "list_user_limits",
        "list_user_permissions",
        "list_user_topic_permissions",
        "list_users",
    ]


def test_switches_and_columns_of_a_verb() -> None:
    assert complete(["delete_queue"], "--if") == ["--if-empty", "--if-unused"]
    assert "messages_ready" in complete(["list_queues"], "messages_r")


def test_words_that_an_argument_may_be() -> None:
    assert complete(["explain"], "p") == ["publish", "permission"]
    assert complete(["explain_permission", "bob"], "w") == ["write"]
    assert complete(["set_disk_free_limit"], "") == []
    assert complete(["delete_queue"], "") == []


def test_every_verb_is_a_click_command() -> None:
    tool = Tool("mqctl", catalogue.CTL)
    context = click.Context(tool)
    for name in tool.list_commands(context):
        command = tool.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str()


def test_each_tool_has_its_own_variable() -> None:
    assert variable("/usr/bin/mq-diagnostics") == "_MQ_DIAGNOSTICS_COMPLETE"
