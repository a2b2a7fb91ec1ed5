"""mqctl doctor: facts from the node, or from its files where it does not answer; the checks."""

from __future__ import annotations

import os
import sys
import time
from hashlib import sha256
from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import TimedOut, Unreachable, find_cookie
from mqctl.doctor import report
from mqctl.doctor.checks import CHECKS
from mqctl.doctor.findings import Outcome, Seen, examine
from mqctl.failures import Failure
from mqctl.output.printing import show
from mqctl.output.results import OK, Result, Rows, Silence, Value

_DRAWN = ("string", "string_per_line", "report", "inspect")  # formats that have no rows


class Doctor(Behaviour):
    """Exit 0 when nothing is wrong, 69 when something is; a warning is not wrong."""

    def execute(self) -> Result:
        """No node state is asked for: a node that is down is looked at, too."""
        if self.options.get("dry_run"):
            return OK
        self.check_timeout()
        facts, seen = self._facts()
        outcomes = examine(CHECKS, facts, seen)
        self._print(facts, seen, outcomes)
        if not report.is_well(outcomes):
            raise Failure(exit_codes.UNAVAILABLE, None)
        return Silence()

    def _facts(self) -> tuple[Any, Seen]:
        if not self.invocation.request.offline:
            try:
                facts = self.send().one()
            except Unreachable as problem:
                return self._without(problem.reason)
            except TimedOut:
                return self._without("it did not answer in time")
            return facts, Seen(
                True,
                now_ms=self._now_ms(),
                is_here=self._is_here(),
                cookie_hash=self._cookie_hash(),
            )
        return self._without("")

    def _without(self, reason: str) -> tuple[Any, Seen]:
        from mqctl.doctor.gather import facts_of_files

        node = self.invocation.node
        offline = bool(self.invocation.request.offline)
        facts = facts_of_files(node, self.invocation.timeout_s)
        facts.node = facts.node or node
        host = node.partition("@")[2].partition(".")[0]
        if not (offline or facts.names.is_local or host == os.uname().nodename.partition(".")[0]):
            raise Unreachable(reason)  # its files are on another machine
        return facts, Seen(False, reason, offline, True, self._cookie_hash(), self._now_ms())

    @staticmethod
    def _now_ms() -> int:
        return time.time_ns() // 1_000_000

    def _is_here(self) -> bool:
        return os.path.exists(self.client.path)

    def _cookie_hash(self) -> str:
        option = self.options.get("erlang_cookie")
        cookie = find_cookie(None if option is None else str(option), self.invocation.node)
        return "" if cookie is None else sha256(cookie.encode()).hexdigest()

    def _print(self, facts: Any, seen: Seen, outcomes: list[Outcome]) -> None:
        invocation = self.invocation
        if invocation.is_json:
            state = facts.app if seen.answered else "unknown" if seen.offline else "down"
            result: Result = Value(report.term(facts.node, state, outcomes))
        elif invocation.formatter not in _DRAWN:
            result = Rows(report.rows(outcomes), collected=True)
        elif sys.stdout.isatty():
            from mqctl.doctor.drawn import draw

            draw(sys.stdout, outcomes, invocation.is_quiet)
            return
        else:
            lines = list(report.lines(outcomes, invocation.is_quiet))
            if not lines:
                return
            by_line = invocation.formatter == "string_per_line"
            result = Value(lines if by_line else "\n".join(lines))
        show(result, invocation, self.say)
