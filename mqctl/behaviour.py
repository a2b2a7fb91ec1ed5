"""What every verb does unless it says otherwise: the pipeline's steps.

Theory: validate -> environment check -> banner -> run -> output, as the mirrored tools. The node
itself checks its state while it admits the call, so that a verb costs one round trip: mqctl sends
the request, waits for the call to be admitted, prints the banner, reads the result. Where
something must be asked of the user first, the state is probed separately.

A verb that differs overrides one step in mqctl/verbs/<area>.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from mqctl import exit_codes
from mqctl.catalogue import APP, NONE, STOPPED, Argument
from mqctl.client import Client, Refused, Reply, TimedOut
from mqctl.failures import (
    NEED_RUNNING,
    NEED_STOPPED,
    BadEnvironment,
    Failure,
    Invalid,
    bad_argument,
    crash,
    error,
)
from mqctl.invocation import Invocation
from mqctl.output.results import OK, Result, Rows, Silence, Value
from mqctl.output.terms import rows_from

_INTEGER = re.compile(r"([+-]?\d+)(.*)", re.DOTALL)


def _default(argument: Argument) -> str | int | float | bool:
    """The catalogue's default of a switch, which is text there."""
    text: str = argument.spec.default
    if argument.kind == "boolean":
        return text == "true"
    if argument.kind == "integer":
        return int(text)
    return float(text) if argument.kind == "float" else text


class Behaviour:
    """One call of one verb. say prints a line to standard output at once, warn to standard
    error."""

    warn: Callable[[str], None]  # the pipeline's

    def __init__(self, invocation: Invocation, say: Callable[[str], None]) -> None:
        self.invocation = invocation
        self.say = say
        self.verb = invocation.verb
        self.options = invocation.options
        self._client: Client | None = None

    # -- validate ----------------------------------------------------------------------------

    def validate(self) -> None:
        """Refuse bad arguments, before any connection; raises Invalid or Failure."""
        self.check_formatter()
        self.check_arity()
        self.check_columns()
        self.invocation.request = self.build_request()

    def check_formatter(self) -> None:
        """Some verbs accept only some formatters."""
        allowed = list(self.verb.spec.formatters)
        if allowed and "formatter" in self.options and self.invocation.formatter not in allowed:
            raise Invalid("the requested formatter is not supported by this command")

    def check_arity(self) -> None:
        """Number of positional arguments."""
        positionals = self.verb.positionals
        count = len(self.invocation.arguments)
        if self.verb.columns_argument:
            return
        if count < sum(a.required for a in positionals):
            raise Invalid("not enough arguments.")
        if count > len(positionals) and not any(a.repeated for a in positionals):
            raise Invalid("too many arguments.")

    def check_columns(self) -> None:
        """Info keys: separated by spaces or commas, each once, all known."""
        invocation = self.invocation
        if not self.verb.streams:
            return
        if not self.verb.columns_argument:
            invocation.columns = self.verb.default_columns
            return
        words = [w.strip() for argument in invocation.arguments for w in argument.split(",")]
        asked = list(dict.fromkeys(w for w in words if w))
        unknown = sorted(set(asked) - set(self.verb.columns))
        if unknown:
            raise Invalid(f"Info key(s) {','.join(unknown)} are not supported")
        invocation.columns = asked if invocation.arguments else self.verb.default_columns

    def build_request(self) -> Any:
        """The request message from arguments, switches and defaults."""
        request = self.verb.request_class()
        words = list(self.invocation.arguments)
        for argument in self.verb.arguments:
            spec = argument.spec
            if spec.columns:
                getattr(request, argument.field).extend(self.invocation.columns)
            elif spec.vhost:
                setattr(request, argument.field, self.invocation.vhost)
            elif not spec.positional:
                self._set_switch(request, argument)
            elif argument.repeated:
                getattr(request, argument.field).extend(words)
                words = []
            elif words:
                setattr(request, argument.field, self._positional(argument, words.pop(0)))
        return request

    def _set_switch(self, request: Any, argument: Argument) -> None:
        value: Any = self.options.get(argument.flag)
        if value is None:
            if not argument.spec.default:
                return
            value = _default(argument)
        try:
            setattr(request, argument.field, value)
        except ValueError as problem:
            flag = argument.flag.replace("_", "-")
            raise bad_argument(f"--{flag} cannot be {value}") from problem

    def _positional(self, argument: Argument, word: str) -> Any:
        spec = argument.spec
        if spec.not_empty and word == "":
            raise bad_argument(spec.not_empty)
        if not spec.integer:
            return word
        found = _INTEGER.match(word)
        if not found:
            raise bad_argument(spec.integer)
        number = int(found[1])
        if number < 1:  # observed: 3.10.8 has no case for it
            raise crash(f'{{:case_clause, {{{number}, "{found[2]}"}}}}')
        return number

    # -- run ---------------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """The connection, with the cookie found for this call."""
        if self._client is None:
            from mqctl.client import find_cookie

            cookie = self.options.get("erlang_cookie")
            self._client = Client(
                self.invocation.node,
                self.invocation.timeout_s,
                find_cookie(None if cookie is None else str(cookie), self.invocation.node),
            )
        return self._client

    def close(self) -> None:
        """Hang up, once everything is printed."""
        if self._client is not None:
            self._client.close()

    def execute(self) -> Result:
        """Environment check, banner, run: all that happens after validation."""
        asks = self.missing_password() is not None or bool(self.options.get("dry_run"))
        if self.verb.needs in (APP, STOPPED) and not asks:
            self.check_timeout()
            reply = self.send()
            self.await_admission(reply)
            self.print_banner()
            return self.result(reply)
        if self.verb.needs in (APP, STOPPED):
            self.probe()
        self.print_banner()
        if self.options.get("dry_run"):
            return Silence()  # in json, too (observed: 3.10.8)
        self.ask_password()
        self.check_timeout()
        return self.run()

    def run(self) -> Result:
        """The call itself, where nothing is left to check or to print before it."""
        if self.verb.needs == NONE:
            return OK
        return self.result(self.send())

    def check_timeout(self) -> None:
        """No time at all is over at once."""
        if self.invocation.timeout_s == 0 and self.verb.needs != NONE:
            raise TimedOut

    def send(self) -> Reply:
        """Send the verb's request."""
        return self.client.call(self.verb.path, self.invocation.request, self.verb.reply_class)

    def await_admission(self, reply: Reply) -> None:
        """Wait until the node has admitted the call; prints the banner before its failures."""
        try:
            reply.wait_ready()
        except Refused as refused:
            if refused.code not in ("APP_STOPPED", "APP_RUNNING"):
                self.print_banner()
            raise

    def probe(self) -> None:
        """Ask the node's state in a call of its own; raises BadEnvironment when it is wrong."""
        from mqd.rpc.v1 import nodes_pb2

        self.check_timeout()
        reply = self.client.call(
            "/mqd.rpc.v1.Nodes/Probe", nodes_pb2.ProbeRequest(), nodes_pb2.ProbeReply
        ).one()
        running = reply.app == nodes_pb2.APP_STATE_RUNNING
        if self.verb.needs == APP and not running:
            raise BadEnvironment(NEED_RUNNING)
        if self.verb.needs == STOPPED and running:
            raise BadEnvironment(NEED_STOPPED)

    def print_banner(self) -> None:
        """Unless it is suppressed or the verb has none."""
        if self.invocation.shows_banner:
            banner = self.banner()
            if banner is not None:
                self.say(banner)

    def banner(self) -> str | None:
        """The line printed before the verb acts."""
        template = self.verb.spec.banner
        return self.invocation.fill(template) if template else None

    # -- passwords ---------------------------------------------------------------------------

    password_missing_exit = exit_codes.SOFTWARE  # observed: 70, but 65 for add_user

    def missing_password(self) -> Argument | None:
        """The password argument that was not given."""
        positionals = self.verb.positionals
        for position, argument in enumerate(positionals):
            if argument.spec.password and len(self.invocation.arguments) <= position:
                return argument
        return None

    def ask_password(self) -> None:
        """Read a missing password from standard input, one line; without echo on a terminal."""
        argument = self.missing_password()
        if argument is None:
            return
        if not self.invocation.is_quiet:
            self.say("Password: ")
        if sys.stdin.isatty():
            import getpass

            line = getpass.getpass("") + "\n"
        else:
            line = sys.stdin.readline()
        if not line:
            raise error(
                "Password is not provided via argument or stdin", self.password_missing_exit
            )
        setattr(self.invocation.request, argument.field, line.strip())

    # -- output ------------------------------------------------------------------------------

    def result(self, reply: Reply) -> Result:
        """Turn what comes back into what is printed."""
        if self.verb.streams:
            return self.rows(reply)
        return self.output(reply.one())

    def rows(self, messages: Iterable[Any]) -> Result:
        """A listing."""
        fields = self.verb.columns
        wanted = [(key, *fields[key]) for key in self.invocation.columns]
        rows = (row for batch in messages for row in batch.rows)
        return Rows(rows_from(rows, wanted), bool(self.verb.spec.collected))

    def output(self, message: Any) -> Result:
        """The reply of a unary call: nothing, or the verb's closing words."""
        template = self.verb.spec.done
        if not template:
            return OK
        return Value(self.done_text(template, message), bool(self.verb.spec.wrapped))

    def done_text(self, template: str, message: Any) -> str:
        """Closing words; {field} is one of the reply or of the request."""
        values = {f.name: getattr(message, f.name) for f in message.DESCRIPTOR.fields}
        return self.invocation.fill(template, values)

    # -- failures ----------------------------------------------------------------------------

    def explain(self, refused: Refused) -> Exception:
        """The node's refusal in this verb's words."""
        if refused.code == "APP_STOPPED":
            return BadEnvironment(NEED_RUNNING)
        if refused.code == "APP_RUNNING":
            return BadEnvironment(NEED_STOPPED)
        from mqd.rpc.v1 import values_pb2

        for rule in self.verb.spec.errors:
            if values_pb2.ErrorCode.Name(rule.code) == refused.code:
                return self._apply(rule, refused)
        return self._default(refused)

    def explain_timeout(self, problem: TimedOut) -> Exception:
        """A verb may have words of its own for a wait that was too long."""
        if self.invocation.timeout_s == 0:
            return problem
        return self.explain(Refused("TIMEOUT", ""))

    def _apply(self, rule: Any, refused: Refused) -> Failure:
        extra = {"detail": refused.detail}
        if rule.json_text and self.invocation.is_json:
            from mqctl.output.json import encode

            message = self.invocation.fill(rule.json_text, extra)
            body = {"result": "error", "node": self.invocation.node, "message": message}
            return Failure(exit_codes.UNAVAILABLE, encode(body))
        text = self.invocation.fill(rule.text, extra) if rule.text else refused.detail
        return Failure(rule.exit, text) if rule.bare else error(text, rule.exit)

    def _default(self, refused: Refused) -> Exception:
        request = self.invocation.request
        fields = {field.name for field in request.DESCRIPTOR.fields}
        if refused.code == "NO_SUCH_VHOST" and "vhost" in fields:
            return Failure(exit_codes.DATA, f"Virtual host '{request.vhost}' does not exist")
        if refused.code == "TIMEOUT":  # with words: not the caller's deadline
            if refused.detail:
                return error(refused.detail, exit_codes.TEMPORARY_FAILURE)
            return TimedOut()
        codes = {"INTERNAL": exit_codes.SOFTWARE, "USAGE": exit_codes.USAGE}
        return error(refused.detail, codes.get(refused.code, exit_codes.UNAVAILABLE))
