"""report: what support asks for first, in one text.

Decides which verbs are called, in which order, and with which columns (observed: 3.10.8). Each is
called as it would be typed; one that fails is told on standard error and the others go on.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from typing import TextIO, cast

from mqctl import catalogue
from mqctl.behaviour import Behaviour
from mqctl.failures import Invalid
from mqctl.output.results import Result, Silence

_OF_NODE = (
    "status",
    "cluster_status",
    "environment",
    "list_connections",
    "list_channels",
    "command_line_arguments",
    "os_env",
)
_OF_VHOST = (
    "list_queues",
    "list_exchanges",
    "list_bindings",
    "list_permissions",
    "list_policies",
    "list_global_parameters",
    "list_parameters",
)
_WITH_VHOST = frozenset(_OF_VHOST) - {"list_global_parameters"}


class _Saying(io.TextIOBase):
    """A stream whose lines go where the verb's do."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = ""

    def write(self, text: str) -> int:
        """Whole lines at once."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)


class Report(Behaviour):
    """All reports together."""

    def check_formatter(self) -> None:
        """It has a format of its own."""
        if self.options.get("formatter") not in (None, "report"):
            raise Invalid('"Only report formatter is supported"')

    def execute(self) -> Result:
        """Each part is followed by an empty line."""
        self.probe()
        self.print_banner()
        if self.options.get("dry_run"):
            return Silence()
        self.say("")
        for verb in _OF_NODE:
            self._part(verb, self._columns(verb))
        for vhost in self._vhosts():
            for verb in _OF_VHOST:
                place = ["-p", vhost] if verb in _WITH_VHOST else []
                self._part(verb, [*place, *self._columns(verb)])
        return Silence()

    def _vhosts(self) -> Iterable[str]:
        from mqd.rpc.v1 import vhosts_pb2

        request = vhosts_pb2.ListVhosts(columns=["name"])
        found = catalogue.find("list_vhosts", catalogue.CTL)
        assert found is not None
        reply = self.client.call(found.path, request, found.reply_class)
        return [row.name for batch in reply for row in batch.rows]

    def _columns(self, verb: str) -> list[str]:
        """Every column of a listing that has a choice of them."""
        found = self._verb(verb)
        return list(found.columns) if found.streams and found.columns_argument else []

    def _verb(self, name: str) -> catalogue.Verb:
        found = catalogue.find(name, catalogue.CTL) or catalogue.find(name, catalogue.DIAG)
        assert found is not None, name
        return found

    def _part(self, verb: str, words: list[str]) -> None:
        from mqctl.pipeline import Pipeline

        in_ctl = catalogue.find(verb, catalogue.CTL) is not None
        scope = catalogue.CTL if in_ctl else catalogue.DIAG
        out = _Saying(self.say)
        Pipeline(self.invocation.tool, scope, cast("TextIO", out), sys.stderr).run(
            [verb, *self._same(), *words]
        )
        self.say("")

    def _same(self) -> list[str]:
        """Options of the call that each part has too."""
        words = ["-n", self.invocation.node]
        for key in ("erlang_cookie", "timeout"):
            if key in self.options:
                words += [f"--{key.replace('_', '-')}", str(self.options[key])]
        for key in ("longnames", "quiet", "silent"):
            if self.options.get(key):
                words.append(f"--{key}")
        return words
