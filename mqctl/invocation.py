"""One call of a tool: what was typed, for which verb, with which options in effect.

Decides defaults of options, the timeout and how templates of the catalogue are filled. Holds no
connection and prints nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mqctl.catalogue import Verb
from mqctl.failures import crash
from mqctl.options import Value

MACHINE_READABLE = frozenset(("json", "json_stream", "csv"))


class Invocation:
    """argv as typed (for messages), arguments without options and the verb's name."""

    def __init__(
        self,
        verb: Verb,
        tool: str,
        scope: int,
        argv: list[str],
        arguments: list[str],
        options: dict[str, Value],
    ) -> None:
        self.verb = verb
        self.tool = tool
        self.scope = scope
        self.argv = argv
        self.arguments = arguments
        self.options = options
        self.node = ""  # full name, once it is resolved
        self.request: Any = None  # once validated
        self.columns: list[str] = []  # info keys of a listing, once validated

    @property
    def formatter(self) -> str:
        """In effect: as asked for, else the verb's own."""
        asked = self.options.get("formatter")
        return str(asked).lower() if asked is not None else self.default_formatter

    @property
    def default_formatter(self) -> str:
        """The verb's own."""
        return self.verb.spec.formatter or "string"

    @property
    def is_json(self) -> bool:
        """Exactly as typed: the mirrored tool compares the option, not the formatter it finds."""
        return self.options.get("formatter") == "json"

    @property
    def is_quiet(self) -> bool:
        """-q or -s."""
        return bool(self.options.get("quiet") or self.options.get("silent"))

    @property
    def shows_banner(self) -> bool:
        """Banners are for people."""
        if self.verb.spec.silent or self.is_quiet:
            return False
        return str(self.options.get("formatter", "")).lower() not in MACHINE_READABLE

    @property
    def table_headers(self) -> bool:
        """-s and --no-table-headers drop them."""
        if self.options.get("silent"):
            return False
        return bool(self.options.get("table_headers", not self.verb.spec.no_table_headers))

    @property
    def timeout_s(self) -> float | None:
        """-t, else the verb's own; None: no limit. Raises Failure for a negative one."""
        given = self.options.get("timeout")
        if given is None:
            return float(self.verb.spec.timeout_s) or None
        if int(given) < 0:
            raise crash(":badarg")  # observed: 3.10.8
        return float(given)

    @property
    def timeout_ms_text(self) -> str:
        """As error messages spell it."""
        timeout = self.timeout_s
        return "infinity" if timeout is None else str(round(timeout * 1000))

    @property
    def vhost(self) -> str:
        """--vhost, default /."""
        return str(self.options.get("vhost", "/"))

    def fill(self, template: str, extra: Mapping[str, object] | None = None) -> str:
        """A template of the catalogue with this call's values."""
        return template.format_map(_Values(self, extra or {}))


class _Values(dict[str, object]):
    def __init__(self, invocation: Invocation, extra: Mapping[str, object]) -> None:
        super().__init__(extra)
        self._invocation = invocation

    def __missing__(self, key: str) -> object:
        invocation = self._invocation
        timeout = invocation.timeout_s
        known: dict[str, object] = {
            "node": invocation.node,
            "vhost": invocation.vhost,
            "timeout": timeout,
            "timeout_ms": invocation.timeout_ms_text,
            "timeout_whole": int(timeout or 0),
        }
        if key in known:
            return known[key]
        for position, argument in enumerate(invocation.verb.positionals):
            if argument.field == key and argument.spec.integer:
                return invocation.arguments[position]  # as typed
        value = getattr(invocation.request, key)
        return value if isinstance(value, (str, int, float)) else ", ".join(value)
