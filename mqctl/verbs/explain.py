"""explain and its kinds: an answer, reasons, and the commands that help."""

from __future__ import annotations

import re
from shlex import quote
from typing import Any

from mqctl.behaviour import Behaviour
from mqctl.failures import Invalid
from mqctl.output.results import Result, Rows, Value
from mqctl.output.terms import Atom, Row

FORMS = ("cluster", "connection", "permission", "publish", "queue")
_PROGRAM = re.compile(r"(^|; )(mqctl|mq-[a-z]+) ")
_TEXT = ("string", "string_per_line", "report", "inspect")  # formats that have no rows


class Explain(Behaviour):
    """Without a subject, or with one that is none: which there are."""

    def validate(self) -> None:
        """The pipeline has sent those that are one on to their own verb."""
        super().validate()
        subject = self.invocation.request.subject
        if subject:
            raise Invalid(f"nothing is known of '{subject}': explain {', '.join(FORMS)}")

    def run(self) -> Result:
        """Their usage."""
        from mqctl import catalogue
        from mqctl.help import usage_line

        lines = []
        for form in FORMS:
            verb = catalogue.find(f"explain_{form}", self.invocation.scope)
            assert verb is not None
            _, _, arguments = usage_line(verb, "").partition(verb.name)
            lines += [f"{self.invocation.tool} explain {form}{arguments}", f"  {verb.spec.help}"]
        return Value("\n".join(lines))


class Explanation(Behaviour):
    """One of them."""

    def output(self, message: Any) -> Result:
        """Sentences, rows or an object, as the format wants."""
        if "node" in self.options:  # the commands are for that one, too
            node = f"\\1\\2 -n {quote(self.invocation.node)} "
            for reason in message.reasons:
                if " -n " not in reason.command:
                    reason.command = _PROGRAM.sub(node, reason.command)
        if self.invocation.is_json:
            return Value(self._term(message))
        if self.invocation.formatter not in _TEXT:
            return Rows([_row(reason) for reason in message.reasons], collected=True)
        lines = list(_lines(message))
        if self.invocation.formatter == "string_per_line":
            return Value(lines)
        return Value("\n".join(lines))

    def _term(self, message: Any) -> dict[str, Any]:
        return {
            "result": "ok",
            "node": self.invocation.node,
            "subject": message.subject,
            "name": message.name,
            "vhost": message.vhost,
            "outcome": message.outcome,
            "says": message.says,
            "queues": list(message.queues),
            "reasons": [
                {"kind": r.kind, "says": r.says, "command": r.command} for r in message.reasons
            ],
        }


def _row(reason: Any) -> Row:
    return [
        (Atom("kind"), Atom(reason.kind)),
        (Atom("says"), reason.says),
        (Atom("command"), reason.command),
    ]


def _lines(message: Any) -> list[str]:
    lines = [f"{message.says[:1].upper()}{message.says[1:]}."]
    for reason in message.reasons:
        lines.append(f" * {reason.says}")
        if reason.command:
            lines.append(f"   $ {reason.command}")
    return lines
