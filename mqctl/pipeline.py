"""From a command line to an exit code: the one place where failures become text.

Decides the order of the steps (find verb, parse, node name, validate, execute, print) and what
goes to which stream. The steps of a verb are in behaviour.py, its deviations in mqctl/verbs.
"""

from __future__ import annotations

import os
from typing import TextIO

from mqctl import catalogue, exit_codes
from mqctl.behaviour import Behaviour
from mqctl.catalogue import NONE, Verb
from mqctl.client import Refused, TimedOut, Unreachable
from mqctl.failures import BadEnvironment, Failure, Invalid
from mqctl.invocation import Invocation
from mqctl.options import (
    GLOBAL_ALIASES,
    GLOBAL_SWITCHES,
    TABLE_SWITCHES,
    Kind,
    Parsed,
    parse,
    parse_global,
)
from mqctl.output.printing import FORMATTERS, show

_TWO_WORDS = "explain"  # explain queue is the verb explain_queue; no other name has two words
_CLUSTER = ["cluster", "explain"]  # but this one, which is explain cluster


class Pipeline:
    """One call of one tool."""

    def __init__(self, tool: str, scope: int, out: TextIO, err: TextIO) -> None:
        self.tool = tool
        self.scope = scope
        self.out = out
        self.err = err

    def say(self, line: str) -> None:
        """One line, at once: what follows may take its time."""
        self.out.write(line + "\n")
        self.out.flush()

    def warn(self, line: str) -> None:
        """One line to standard error."""
        self.out.flush()
        self.err.write(line + "\n")

    def _print(self, line: str) -> None:
        self.out.write(line + "\n")

    def run(self, argv: list[str]) -> int:
        """Returns the exit code."""
        try:
            self._run(argv)
        except Failure as failure:
            self.out.flush()
            if failure.text is not None:
                self.err.write(failure.text + "\n")
            return failure.exit_code
        return exit_codes.OK

    def _run(self, argv: list[str]) -> None:
        if argv[:1] == ["--auto-complete"]:
            argv = ["autocomplete", *argv[1:]]
        elif argv == ["--version"]:
            argv = ["version"]
        elif argv == ["--help"]:
            from mqctl.help import tool_usage

            self._print(tool_usage(self.scope, self.tool))
            return
        invocation = self._parse(argv)
        if invocation.options.get("help"):
            from mqctl.help import verb_usage

            self._print(verb_usage(invocation.verb, self.tool))
            return
        self._execute(invocation)

    # -- parse -------------------------------------------------------------------------------

    def _parse(self, argv: list[str]) -> Invocation:
        first = parse_global(argv)
        script = first.options.get("script_name")
        if script is not None:
            from mqctl.main import scope_of

            self.tool, self.scope = str(script), scope_of(str(script))
        name = first.arguments[0] if first.arguments else ""
        words = argv
        verb = catalogue.find(name, self.scope) if name else None
        taken = 1
        if first.arguments[:2] == _CLUSTER:
            verb, taken = catalogue.find("explain_cluster", self.scope), 2
        if verb is None:
            verb, words = self._alias(name, argv, first)
        elif name == _TWO_WORDS and len(first.arguments) > 1:
            longer = catalogue.find(f"{name}_{first.arguments[1]}", self.scope)
            if longer is not None:
                verb, taken = longer, 2
        self._check_formatter(first)
        parsed = self._parse_for(verb, words, first)
        if parsed.invalid:
            lines = [f"{key} : {'' if value is None else value}" for key, value in parsed.invalid]
            detail = "\n".join(["Invalid options for this command:", *lines])
            raise self._argument_failure(Invalid(detail), verb, argv)
        arguments = parsed.arguments[taken:]
        return Invocation(verb, self.tool, self.scope, argv, arguments, parsed.options)

    def _parse_for(self, verb: Verb, argv: list[str], first: Parsed) -> Parsed:
        switches: dict[str, Kind] = dict(GLOBAL_SWITCHES)
        chosen = first.options.get("formatter")
        if (str(chosen).lower() if chosen is not None else verb.spec.formatter) == "table":
            switches.update(TABLE_SWITCHES)
        switches.update(verb.switches)
        return parse(argv, switches, {**GLOBAL_ALIASES, **verb.aliases})

    def _check_formatter(self, first: Parsed) -> None:
        chosen = first.options.get("formatter")
        if chosen is not None and str(chosen).lower() not in FORMATTERS:
            known = ", ".join(sorted(FORMATTERS - {"plugins", "msacc", "report", "inspect"}))
            raise Failure(
                exit_codes.CRASH, f"Error: unknown formatter '{chosen}'. Known ones: {known}"
            )

    def _alias(self, name: str, argv: list[str], first: Parsed) -> tuple[Verb, list[str]]:
        """A name that is no verb: an alias from the aliases file, or a failure."""
        path = first.options.get("aliases_file") or os.environ.get("RABBITMQ_CLI_ALIASES_FILE")
        if name and path:
            from mqctl.aliases import load_aliases

            words = load_aliases(str(path), self.err).get(name)
            verb = catalogue.find(words[0], self.scope) if words else None
            if words and verb:
                place = argv.index(name)
                return verb, [*argv[:place], *words, *argv[place + 1 :]]
        raise self._unknown(name)

    def _unknown(self, name: str) -> Failure:
        missing = f"\nCommand '{name}' not found. \n" if name else ""
        if name:
            from mqctl.suggest import suggest

            near = suggest(name, catalogue.names(self.scope))
            if near is not None:
                return Failure(exit_codes.USAGE, f"{missing}Did you mean '{near}'? \n")
        from mqctl.help import tool_usage

        return Failure(exit_codes.USAGE, missing + tool_usage(self.scope, self.tool))

    # -- execute -----------------------------------------------------------------------------

    def _execute(self, invocation: Invocation) -> None:
        from mqctl.node_names import resolve, wants_long

        verb = invocation.verb
        long_names = wants_long(invocation.options.get("longnames"))
        node = invocation.options.get("node")
        invocation.node = resolve(None if node is None else str(node), long_names, verb.name)
        behaviour = self._behaviour(invocation)
        try:
            behaviour.validate()
            self._warn_of_cookie_variable(invocation)
            result = behaviour.execute()
            show(result, invocation, self._printer(invocation))
        except Refused as refused:
            raise self._settled(behaviour.explain(refused), invocation) from refused
        except TimedOut as problem:
            raise self._settled(behaviour.explain_timeout(problem), invocation) from problem
        except (Invalid, Unreachable) as problem:
            raise self._settled(problem, invocation) from problem
        finally:
            behaviour.close()

    def _behaviour(self, invocation: Invocation) -> Behaviour:
        from mqctl.verbs.registry import behaviour_class

        behaviour = behaviour_class(invocation.verb.name, invocation.scope)(invocation, self.say)
        behaviour.warn = self.warn
        return behaviour

    def _settled(self, problem: Exception, invocation: Invocation) -> Failure:
        """Any failure as exit code and text."""
        if isinstance(problem, BadEnvironment):
            return self._usage_failure(f"Error: {problem.detail}", problem, invocation)
        if isinstance(problem, Invalid):
            return self._argument_failure(problem, invocation.verb, invocation.argv)
        if isinstance(problem, TimedOut):
            return Failure(
                exit_codes.TEMPORARY_FAILURE,
                f"Error: operation {invocation.verb.name} on node {invocation.node} timed out. "
                f"Timeout value used: {invocation.timeout_ms_text}",
            )
        if isinstance(problem, Unreachable):
            from mqctl.unreachable import report

            return Failure(exit_codes.UNAVAILABLE, report(invocation, problem.reason))
        assert isinstance(problem, Failure), problem
        return problem

    def _argument_failure(self, problem: Invalid, verb: Verb, argv: list[str]) -> Failure:
        from mqctl.help import base_usage

        return Failure(
            problem.exit_code,
            f"Error (argument validation): {problem.detail}\nArguments given:\n\t{' '.join(argv)}\n"
            + base_usage(verb, self.tool),
        )

    def _usage_failure(self, text: str, problem: Invalid, invocation: Invocation) -> Failure:
        from mqctl.help import base_usage

        return Failure(
            problem.exit_code,
            f"{text}\nArguments given:\n\t{' '.join(invocation.argv)}\n"
            + base_usage(invocation.verb, self.tool),
        )

    def _warn_of_cookie_variable(self, invocation: Invocation) -> None:
        if invocation.verb.needs == NONE or invocation.is_quiet:
            return
        if os.environ.get("RABBITMQ_ERLANG_COOKIE"):
            self.say(
                "\x1b[1m\x1b[31mRABBITMQ_ERLANG_COOKIE env variable support is deprecated and will "
                "be REMOVED in a future version. \x1b[0m\x1b[33mUse the $HOME/.erlang.cookie file "
                "or the --erlang-cookie switch instead.\x1b[0m"
            )

    def _printer(self, invocation: Invocation):  # type: ignore[no-untyped-def]
        kind = invocation.options.get("printer")
        if kind == "file" and "file" in invocation.options:
            from mqctl.output.file_printer import to_file

            return to_file(str(invocation.options["file"]))
        if kind == "std_io_raw":
            return self.out.write
        return self._print
