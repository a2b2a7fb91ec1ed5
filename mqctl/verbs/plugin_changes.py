"""mq-plugins enable, disable, set: the file enabled_plugins changes, then the node follows it.

Decides which plugins the file names afterwards and how the change is reported. What there is, and
who is asked for it, is `plugins.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mqctl import exit_codes
from mqctl.client import Refused
from mqctl.failures import NEED_RUNNING, BadEnvironment, Failure, Invalid, bad_argument, error
from mqctl.output.inspect import inspect
from mqctl.output.results import Result, Silence
from mqctl.output.terms import Atom, Term
from mqctl.verbs.enabled_file import read, write
from mqctl.verbs.plugins import Known, PluginVerb
from mqd.plugins.table import LIBRARIES, NOT_YET, RETIRED, advice, dependents, in_order, required


class Change(PluginVerb):
    """enable, disable, set: from the plugins that were enabled to those that shall be."""

    done = ""  # key of what changed, and word for it
    title = "Enabling"

    def check_arity(self) -> None:
        """Names, or --all."""
        names, every = self.invocation.arguments, self.options.get("all")
        if not names and not every:
            raise Invalid("not enough arguments.")
        if names and every:
            raise bad_argument("Cannot set both --all and a list of plugins")
        self.check_modes()

    def banner(self) -> str:
        """As typed."""
        node = self.invocation.node
        if self.options.get("all"):
            return f"{self.title} ALL plugins on node {node}"
        return "\n".join([f"{self.title} plugins on node {node}:", *self.invocation.arguments])

    def ask(self) -> Any:
        """What would keep those that are to be enabled from running, too."""
        from mqd.rpc.v1 import plugins_pb2 as pb

        request = pb.ExaminePlugins(plugins=self.to_examine())
        path = "/mqd.rpc.v1.Plugins/Examine"
        reply = self.client.call(path, request, pb.PluginsReply).one()
        self.troubles = {row.name: row.trouble for row in reply.plugins if row.trouble}
        return reply

    troubles: dict[str, str]

    def find_out(self) -> Known:
        """A node whose application is stopped has nothing to switch: as if it did not answer."""
        known = super().find_out()
        if known.node and not known.app_runs and self.options.get("online"):
            raise BadEnvironment(NEED_RUNNING)
        return known

    def to_examine(self) -> list[str]:
        """Names whose code is to be tried."""
        return self.invocation.arguments

    def before(self, known: Known) -> list[str]:
        """What the file says now."""
        return read(known.file)

    def after(self, before: list[str], known: Known) -> list[str]:
        """What it shall say. Raises Failure."""
        raise NotImplementedError

    def act(self, known: Known) -> Result:
        """Write the file, then have the node follow it."""
        before = self.before(known)
        names = sorted(set(self.after(before, known)))
        write(known.file, names)
        was, now = required(before, known.plugins), required(names, known.plugins)
        changed = self.changed(was, now, known)
        self._show_first(now)
        report: dict[str, Term] = {}
        if self.done:
            report[self.done] = changed
        report["mode"] = Atom("online" if known.app_runs else "offline")
        report["set"] = list(now)
        if known.app_runs:
            applied = self._follow(known)
            report["started"] = list(applied.started)
            report["stopped"] = in_order(applied.stopped, known.plugins)
        self._show_second(report)
        return Silence()

    def changed(self, was: Sequence[str], now: Sequence[str], known: Known) -> list[str]:
        """The difference that the verb reports."""
        return [name for name in now if name not in was]

    def _follow(self, known: Known) -> Any:
        self.invocation.request.file = known.file
        try:
            return self.send().one()
        except Refused as refused:
            if refused.code != "INVALID_ARGUMENT":
                raise
            text = (
                f"Could not update enabled plugins file at {known.file}: target node "
                f"{self.invocation.node} uses a different path ({refused.detail})"
            )
            raise Failure(exit_codes.DATA, text) from refused

    # -- names -------------------------------------------------------------------------------

    def check(self, names: Iterable[str], known: Known) -> list[str]:
        """Those that are there, once retired ones are left out. Raises Failure for others."""
        kept, missing = [], []
        for name in dict.fromkeys(names):
            if name in known.plugins or name in LIBRARIES:
                kept.append(name)
            elif name in RETIRED and not self.options.get("strict"):
                text = f"plugin {name} is ignored: {advice(name)}; --strict refuses such names"
                self.warn(f"Warning: {text}")
            else:
                missing.append(name)
        if missing:
            raise self.not_found(sorted(missing))
        for name, reason in sorted(self.troubles.items() if known.node else ()):
            raise error(f"plugin {name} cannot run: {reason}", exit_codes.SOFTWARE)
        return kept

    def not_found(self, missing: list[str]) -> Failure:
        """Names that are no plugins."""
        listed = inspect([Atom(name) for name in missing])
        return self.refusal(f"{{:plugins_not_found, {listed}}}", missing, exit_codes.SOFTWARE)

    @staticmethod
    def refusal(text: str, missing: list[str], exit_code: int) -> Failure:
        """With a line for each that RabbitMQ has."""
        known = [f"{name}: {advice(name)}" for name in missing if name in NOT_YET | RETIRED]
        return error("\n".join([text, *known]), exit_code)

    # -- output ------------------------------------------------------------------------------

    first: list[Term]

    def _show_first(self, now: Sequence[str]) -> None:
        name = self.invocation.formatter
        if name == "plugins":
            if now:
                lines = ["The following plugins have been configured:", *_indented(now)]
            else:
                lines = ["All plugins have been disabled."]
            node = self.invocation.node
            self.say("\n".join([*lines, f"Applying plugin configuration to {node}..."]))
            return
        atoms = [Atom(one) for one in now]
        if name == "erlang":
            self.first = atoms  # printed together with what follows
        if name in ("erlang", "pretty_table"):
            return
        if name == "json":
            self.say("[")
        self.say(_shown(atoms, name))

    def _show_second(self, report: dict[str, Term]) -> None:
        name = self.invocation.formatter
        if name == "plugins":
            self.say("\n".join(self._told(report)))
            return
        term = {
            Atom(key): value if type(value) is Atom else [Atom(one) for one in value]
            for key, value in report.items()
        }
        if name == "erlang":
            self.say(_shown([self.first, term], name))
            return
        if name == "pretty_table":
            from mqctl.output.pretty_table import table_box

            self.say(table_box([sorted(term.items())]))
            return
        self.say(("," if name == "json" else "") + _shown(term, name))
        if name == "json":
            self.say("]")

    def _told(self, report: dict[str, Term]) -> list[str]:
        if self.done and not report[self.done]:
            return ["Plugin configuration unchanged."]
        lines = []
        if self.done:
            heading = f"The following plugins have been {self.done}:"
            lines += [heading, *_indented(report[self.done]), ""]
        if "started" in report:
            return [*lines, _moves(len(report["started"]), len(report["stopped"]))]
        count = len(report["set"])
        lines.append(f"set {count} plugins." if count else "nothing to do.")
        if self.done:
            lines.append("Offline change; changes will take effect at broker restart.")
        return lines


def _indented(names: Iterable[str]) -> list[str]:
    return [f"  {name}" for name in names]


def _moves(started: int, stopped: int) -> str:
    parts = [f"{w} {n} plugins" for w, n in (("started", started), ("stopped", stopped)) if n]
    return f"{' and '.join(parts)}." if parts else "nothing to do."


def _shown(term: Term, name: str) -> str:
    """The set, or the report, in another format than the verbs' own."""
    if name in ("json", "json_stream"):
        from mqctl.output.json import encode

        return encode(term) + ("\n" if name == "json_stream" else "")
    if name == "erlang":
        from mqctl.output.erlang import format_term

        return format_term(term)
    if name in ("csv", "table") and isinstance(term, dict):
        from mqctl.output import csv, table

        row = sorted(term.items())
        return csv.record(value for _, value in row) if name == "csv" else table.line(row)
    if name == "csv":
        from mqctl.output.csv import record

        return record(term) if term else "\n"
    return inspect(term) if term or name == "inspect" else ""


class Enable(Change):
    """These as well."""

    done = "enabled"

    def after(self, before: list[str], known: Known) -> list[str]:
        """Those of the file must be there, too (observed: 3.10.8)."""
        wanted = [*known.plugins] if self.options.get("all") else self.invocation.arguments
        return self.check([*before, *wanted], known)


class Disable(Change):
    """No longer these, nor those that need them."""

    done = "disabled"
    title = "Disabling"

    def to_examine(self) -> list[str]:
        """None."""
        return []

    def after(self, before: list[str], known: Known) -> list[str]:
        """A name that is no plugin, or is not enabled, changes nothing; but what the file says
        must be there (observed: 3.10.8)."""
        before = self.check(before, known)
        if self.options.get("all"):
            return []
        gone = dependents(self.invocation.arguments, known.plugins)
        return [name for name in before if name not in gone]

    def changed(self, was: Sequence[str], now: Sequence[str], known: Known) -> list[str]:
        """Those that go, what they need before them (observed: 3.10.8)."""
        return in_order([name for name in was if name not in now], known.plugins)


class Set(Change):
    """These and no others, whatever the file says."""

    def check_arity(self) -> None:
        """No name at all disables everything."""
        self.check_modes()

    def before(self, known: Known) -> list[str]:
        """Does not matter, and may be broken."""
        return []

    def after(self, before: list[str], known: Known) -> list[str]:
        """Those that are there."""
        return self.check(self.invocation.arguments, known)

    def not_found(self, missing: list[str]) -> Failure:
        """It has words of its own."""
        text = f"The following plugins were not found: {', '.join(missing)}"
        return self.refusal(text, missing, exit_codes.DATA)
