"""mq-plugins: what there is, what runs, and what the file enabled_plugins says of it.

Theory. The file belongs to the tool: it is read here and written by `plugin_changes.py`, with the
rights of whoever calls. The node says which plugins there are and which run, and is told when the
file has changed. When it does not answer, or is not to be asked, the file alone counts and what
there is is looked up on this machine (observed: 3.10.8).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import Refused, Unreachable
from mqctl.failures import BadEnvironment, Failure, Invalid, bad_argument, error
from mqctl.invocation import Invocation
from mqctl.output.inspect import inspect
from mqctl.output.results import Lines, Result, Silence, Value
from mqctl.output.terms import Atom, Chars, Term
from mqctl.verbs.enabled_file import read
from mqd.plugins.table import LIBRARIES, Plugin, required

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


class ResetStatsDb(Behaviour):
    """Takes any words, and says nothing in any format (observed: 3.10.8)."""

    def check_arity(self) -> None:
        """None is wrong."""

    def check_timeout(self) -> None:
        """There is time enough."""
        self.client.timeout_s = self.invocation.timeout_s or None

    def banner(self) -> str:
        """Where."""
        if self.options.get("all"):
            return "Resetting statistics database in all nodes"
        return f"Resetting statistics database on node {self.invocation.node}"

    def run(self) -> Result:
        """The node has to be there."""
        self.check_timeout()
        self.send().one()
        return Silence()
