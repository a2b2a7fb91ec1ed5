"""Prints a line for each result: `outcome KIND TASK`, and what went wrong."""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: mqd_outcomes
type: stdout
short_description: one line for each result
description: for tests.ops
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "mqd_outcomes"

    def _say(self, kind: str, result: Any, text: str = "") -> None:
        found = result._result
        item = found.get("item", "")
        name = item["name"] if isinstance(item, dict) else item
        title = f"{result._task.get_name()} {name}".strip()
        if kind == "ok" and found.get("changed"):
            kind = "changed"
        print(f"outcome {kind} {title}", flush=True)
        if text:
            print(text, flush=True)

    def v2_runner_on_ok(self, result: Any, **_: Any) -> None:
        if "results" not in result._result:
            self._say("ok", result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._say("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False, **_: Any) -> None:
        if "results" not in result._result:
            self._say("failed", result, self._dump_results(result._result))

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._say("failed", result, self._dump_results(result._result))
