"""The verb that shows what happens on a node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.failures import error
from mqctl.output.results import Result, Rows, Silence
from mqctl.output.terms import Atom, Row, from_term


class ConsumeEventStream(Behaviour):
    """Events, each at once."""

    def validate(self) -> None:
        """Time does not run backwards; no other time is limited (observed: 3.10.8)."""
        super().validate()
        request = self.invocation.request
        if request.HasField("duration") and request.duration < 0:
            raise error("--duration must not be negative", exit_codes.UNAVAILABLE)
        self.options.pop("timeout", None)

    def rows(self, messages: Iterable[Any]) -> Result:
        """A line each, and an empty one at the end. A table has no rows (observed: 3.10.8)."""
        rows = (_row(event) for batch in messages for event in batch.rows)
        formatter = self.invocation.formatter
        if formatter == "json_stream":
            from mqctl.output.json import encode

            for row in rows:
                self.say(encode(row))
            self.say("")
        elif formatter == "table":
            for _ in rows:
                pass
        elif formatter == "json":
            self.options["printer"] = "std_io_raw"
            return Rows(_with_end(rows))
        else:
            return Rows(rows)
        return Silence()


def _row(event: Any) -> Row:
    facts = [(Atom(fact.name), from_term(fact.value)) for fact in event.facts]
    return [(Atom("event"), event.event), *facts]


def _with_end(rows: Iterable[Row]) -> Iterator[Row]:
    yield from rows
    yield [(Atom("message"), "")]
