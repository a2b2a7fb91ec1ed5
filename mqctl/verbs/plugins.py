"""mq-plugins: what there is, what runs, and the file enabled_plugins.

Theory. The file belongs to the tool: it is read and written here, with the rights of whoever
calls. The node says which plugins there are and which run, and is told when the file has changed.
When it does not answer, or is not to be asked, the file alone is changed and what there is is
looked up on this machine (observed: 3.10.8).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import Refused, Unreachable
from mqctl.failures import NEED_RUNNING, BadEnvironment, Failure, Invalid, bad_argument, error
from mqctl.invocation import Invocation
from mqctl.output.inspect import inspect
from mqctl.output.results import Lines, Result, Silence, Value
from mqctl.output.terms import Atom, Chars, Term
from mqctl.verbs.enabled_file import read, write
from mqd.plugins.table import (
    LIBRARIES,
    NOT_YET,
    RETIRED,
    Plugin,
    advice,
    dependents,
    in_order,
    required,
)

NEED_NODE = "this command requires the target node to be running."


class Known(NamedTuple):
    """plugins: by name. node: whether it answered; app_runs: and its application runs. enabled: as
    the node says, or else as 3.10.8 means it, see `IsEnabled`."""

    plugins: dict[str, Plugin]
    node: bool
    running: frozenset[str]
    app_runs: bool
    enabled: tuple[str, ...]
    file: str
    folders: str
    expand_folder: str


class PluginVerb(Behaviour):
    """What they have in common."""

    def check_arity(self) -> None:
        """Options that exclude each other come first (observed: 3.10.8; not so where names are
        needed to change something)."""
        self.check_modes()
        super().check_arity()

    def check_modes(self) -> None:
        """Ask the node, or do not."""
        if self.options.get("online") and self.options.get("offline"):
            raise bad_argument("Cannot set both online and offline")

    def execute(self) -> Result:
        """Find out what there is, then the banner, then the verb."""
        known = self.find_out()
        self.print_banner()
        if self.options.get("dry_run"):
            return Silence()
        return self.act(known)

    def act(self, known: Known) -> Result:
        """The verb itself."""
        raise NotImplementedError

    # -- what there is -----------------------------------------------------------------------

    needs_node = False  # unless it is told to do without

    def find_out(self) -> Known:
        """Ask the node where it answers. Raises BadEnvironment where it has to and does not."""
        if not self.needs_node:
            self._check_folders()
        if self.options.get("offline"):
            return self.look_up()
        if self.invocation.timeout_s == 0:  # observed: 3.10.8 asks all the same
            self.client.timeout_s = None
        try:
            return self._from_reply(self.ask())
        except Unreachable as problem:
            if self.needs_node or self.options.get("online"):
                raise BadEnvironment(NEED_NODE) from problem
            return self.look_up()

    def ask(self) -> Any:
        """What the node says of its plugins."""
        return self.send().one()

    def _from_reply(self, reply: Any) -> Known:
        rows = reply.plugins
        plugins = {r.name: Plugin(r.name, r.description, r.version, tuple(r.needs)) for r in rows}
        return Known(
            plugins if self._folders_option is None else self._installed(),
            True,
            frozenset(row.name for row in rows if row.is_running),
            reply.app_runs,
            tuple(reply.enabled),
            self._file_given() or reply.enabled_plugins_file,
            ":".join(reply.folders),
            reply.expand_folder,
        )

    def look_up(self) -> Known:
        """What this machine has, without a node."""
        from mqctl import places

        plugins = self._installed()
        return Known(
            plugins,
            False,
            frozenset(),
            False,
            tuple(sorted({*plugins, *LIBRARIES})),
            self._file_given() or places.enabled_plugins_file(),
            self._folders_option or places.plugin_folders(),
            places.plugins_expand_folder(self.invocation.node),
        )

    def _installed(self) -> dict[str, Plugin]:
        from mqctl.places import plugin_folders
        from mqd.plugins.installed import every

        return dict(every((self._folders_option or plugin_folders()).split(":")))

    @property
    def _folders_option(self) -> str | None:
        option = self.options.get("plugins_dir")
        return None if option is None else str(option)

    def _check_folders(self) -> None:
        """Those that were named, if any, are not all missing (observed: 3.10.8)."""
        from mqctl.places import given

        named = self._folders_option or given("PLUGINS_DIR")
        if named and not any(map(os.path.exists, named.split(":"))):
            raise BadEnvironment(":plugins_dir_does_not_exist")

    def _file_given(self) -> str:
        from mqctl.places import given

        option = self.options.get("enabled_plugins_file")
        path = str(option) if option is not None else given("ENABLED_PLUGINS_FILE")
        return os.path.abspath(path) if path else ""


class List(PluginVerb):
    """Each plugin with its marks: E or e, enabled for itself or for others; * running."""

    def __init__(self, invocation: Invocation, say: Callable[[str], None]) -> None:
        super().__init__(invocation, say)
        self.options.pop("printer", None)  # observed: 3.10.8 prints, whatever was asked for

    def validate(self) -> None:
        """A description is more than a name."""
        super().validate()
        if self.options.get("verbose") and self.options.get("minimal"):
            raise bad_argument("Cannot set both verbose and minimal")

    def build_request(self) -> Any:
        """Everything, unless a pattern is given."""
        request = super().build_request()
        if not self.invocation.arguments:
            request.pattern = ".*"
        return request

    def ask(self) -> Any:
        """The node compiles the pattern as RabbitMQ would, or refuses it."""
        reply = self.send()
        try:
            found = reply.one()
        except Refused:
            self.print_banner()
            raise
        self._matching = {row.name for row in found.plugins if row.matches}
        return found

    def explain(self, refused: Refused) -> Exception:
        """Only a pattern can be wrong."""
        return error(f"{refused.detail}\n", exit_codes.SOFTWARE)

    def look_up(self) -> Known:
        """Python's reading of the pattern has to do."""
        known = super().look_up()
        try:
            pattern = re.compile(self.invocation.request.pattern)
        except re.error as problem:
            self.print_banner()
            reason = ", ".join(_pcre_fault(problem))
            text = f"{{:badmatch, {{:error, {{{reason}}}}}}}\n"
            raise error(text, exit_codes.SOFTWARE) from None
        self._matching = {name for name in known.plugins if pattern.search(name)}
        return known

    def act(self, known: Known) -> Result:
        """Those that match."""
        explicit = read(known.file)
        implied = required(explicit, known.plugins)
        shown = [plugin for name, plugin in known.plugins.items() if name in self._matching]
        if self.options.get("implicitly_enabled"):
            shown = [plugin for plugin in shown if plugin.name in implied]
        elif self.options.get("enabled"):
            shown = [plugin for plugin in shown if plugin.name in explicit]
        marks = dict.fromkeys(implied, "e") | dict.fromkeys(explicit, "E")
        missing = sorted({*explicit} - {*known.plugins} - LIBRARIES)
        if missing:
            tell = self.warn if self.invocation.is_json else self.say  # 3.10.8 breaks the JSON
            tell(f"WARNING - plugins currently enabled but missing: {', '.join(missing)}\n")
        if self.invocation.formatter == "plugins":
            return Lines(self._lines(shown, marks, known))
        return Value(self._term(shown, marks, known))

    def _lines(self, shown: list[Plugin], marks: dict[str, str], known: Known) -> Iterable[str]:
        if self.options.get("minimal"):
            return [plugin.name for plugin in shown]
        lines = [] if self.invocation.is_quiet else self._legend(known)
        width = max((len(plugin.name) for plugin in shown), default=0)
        for plugin in shown:
            star = "*" if plugin.name in known.running else " "
            head = f"[{marks.get(plugin.name, ' ')}{star}] "
            if self.options.get("verbose"):
                lines += [
                    head + plugin.name,
                    f"     Version:     \t{plugin.version}",
                    f"     Dependencies:\t[{','.join(plugin.needs)}]",
                    f"     Description: \t{plugin.description}",
                ]
            else:
                lines.append(f"{head}{plugin.name.ljust(width)} {plugin.version}")
        return lines

    def _legend(self, known: Known) -> list[str]:
        node = self.invocation.node
        down = f"[failed to contact {node} - status not shown]"
        return [
            " Configured: E = explicitly enabled; e = implicitly enabled",
            f" | Status: {f'* = running on {node}' if known.node else down}",
            " |/",
        ]

    def _term(self, shown: list[Plugin], marks: dict[str, str], known: Known) -> Term:
        minimal, verbose = self.options.get("minimal"), self.options.get("verbose")
        states = {"E": "enabled", "e": "implicit", " ": "not_enabled"}
        rows = []
        for plugin in shown:
            row: dict[Term, Term] = {Atom("name"): Atom(plugin.name)}
            if not minimal:
                runs = plugin.name in known.running
                row[Atom("enabled")] = Atom(states[marks.get(plugin.name, " ")])
                row[Atom("version")] = Chars(plugin.version)
                row[Atom("running")] = runs
                row[Atom("running_version")] = Chars(plugin.version) if runs else Atom("nil")
            if verbose:
                row[Atom("dependencies")] = [Atom(name) for name in plugin.needs]
                row[Atom("description")] = Chars(plugin.description)
            rows.append(row)
        form = "minimal" if minimal else "verbose" if verbose else "normal"
        return {
            Atom("format"): Atom(form),
            Atom("plugins"): rows,
            Atom("status"): Atom("running" if known.node else "node_down"),
        }


def _pcre_fault(problem: re.error) -> tuple[str, str]:
    """What is wrong with a pattern, and where, in PCRE's words for the usual mistakes."""
    size = len(problem.pattern or "")
    words = {
        "missing ), unterminated subpattern": ("missing )", size),
        "unterminated character set": ("missing terminating ] for character class", size),
        "unbalanced parenthesis": ("unmatched parentheses", problem.pos),
        "bad escape (end of pattern)": ("\\ at end of pattern", size),
    }
    text, place = words.get(problem.msg, (problem.msg, problem.pos))
    return inspect(Chars(text)), str(place or 0)


def _named(names: Sequence[str]) -> tuple[str, str]:
    """The words for one plugin or for several, and the verb that goes with them."""
    plural = len(names) > 1
    return f"plugin{'s' if plural else ''} {', '.join(names)}", "are" if plural else "is"


class IsEnabled(PluginVerb):
    """Offline, 3.10.8 takes every plugin that is there for enabled: scripts get the same answer."""

    needs_node = True

    def check_arity(self) -> None:
        """At least one name."""
        self.check_modes()
        if not self.invocation.arguments:
            raise Invalid("not enough arguments.")

    def banner(self) -> str:
        """Who is asked about what."""
        what, verb = _named(self.invocation.arguments)
        if self.options.get("offline"):
            return f"Inferring if {what} {verb} from local environment..."
        return f"Asking node {self.invocation.node} if {what} {verb} enabled..."

    def act(self, known: Known) -> Result:
        """Success, or the names that are not."""
        where = f" on node {self.invocation.node}" if known.node else ""
        absent = [name for name in self.invocation.arguments if name not in known.enabled]
        what, verb = _named(absent or self.invocation.arguments)
        text = f"{what[0].upper()}{what[1:]} {verb} {'not ' if absent else ''}enabled{where}"
        if absent:
            text += f". Enabled plugins and dependencies: {', '.join(known.enabled)}"
        if not self.invocation.is_json:
            if absent:
                raise error(text)
            return Value(text)
        from mqctl.output.json import encode

        body = encode({"result": "error" if absent else "ok", "message": text})
        if absent:
            raise Failure(exit_codes.UNAVAILABLE, body)
        self.say(body)
        return Silence()


class Directories(PluginVerb):
    """Three paths."""

    needs_node = True

    def banner(self) -> str:
        """Whose they are."""
        if self.options.get("offline"):
            return "Listing plugin directories inferred from local environment..."
        return f"Listing plugin directories used by node {self.invocation.node}"

    def _file_given(self) -> str:
        return super()._file_given() if self.options.get("offline") else ""

    def act(self, known: Known) -> Result:
        """An object for json, else lines."""
        if self.invocation.is_json:
            return Value(
                {
                    Atom("enabled_plugins_file"): known.file,
                    Atom("plugins_dir"): known.folders,
                    Atom("plugins_expand_dir"): known.expand_folder,
                }
            )
        return Value(
            f"Plugin archives directory: {known.folders}\n"
            f"Plugin expansion directory: {known.expand_folder}\n"
            f"Enabled plugins file: {known.file}"
        )


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
