"""eval, eval_file and exec: expressions, and what they are worth.

Decides where an expression comes from and that one which is none reaches no node. Evaluation is
the node's (`eval`), or of a few Elixir literals here (`exec`).
"""

from __future__ import annotations

import os
import sys
from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.failures import Invalid, error
from mqctl.output.results import Result, Value
from mqctl.output.terms import from_term


class Eval(Behaviour):
    """An expression as argument, or on standard input."""

    def check_arity(self) -> None:
        """None, or any number: what follows the expression is _1, _2, ..."""

    def validate(self) -> None:
        """What is no expression is refused here."""
        super().validate()
        self.options.pop("timeout", None)  # observed: 3.10.8 waits as long as it takes
        self.invocation.request.arguments.extend(self.invocation.arguments[1:])
        if not self.invocation.arguments:
            self.invocation.request.expression = self._from_stdin()
        elif self.invocation.arguments[0] == "":
            raise Invalid('"Expression must not be blank"')
        self._check()

    def _from_stdin(self) -> str:
        text = "" if sys.stdin.isatty() else sys.stdin.read()
        if not text:
            raise error(
                "Expression to evaluate is not provided via argument or stdin", exit_codes.DATA
            )
        return text

    def _check(self) -> None:
        from mqctl.output.inspect import inspect
        from mqd.erlang.lexer import Unscannable
        from mqd.erlang.parser import Unparsable, parse

        try:
            parse(self.invocation.request.expression)
        except (Unparsable, Unscannable) as problem:
            raise Invalid(inspect(str(problem))) from problem
        except RecursionError:
            raise Invalid('"the expression is nested too deeply"') from None

    def output(self, message: Any) -> Result:
        """The value; a failure as Elixir shows it."""
        if message.printed:
            sys.stdout.write(message.printed)
            sys.stdout.flush()
        value = from_term(message.value)
        if message.failed:
            from mqctl.output.inspect import text

            raise error(text(value))
        return Value(value, wrapped=True)


class EvalFile(Eval):
    """A file of expressions."""

    def check_arity(self) -> None:
        """One path."""
        if not self.invocation.arguments:
            raise Invalid("not enough arguments.")
        if len(self.invocation.arguments) > 1:
            raise Invalid("too many arguments.")

    def _check(self) -> None:
        path = self.invocation.arguments[0]
        if path == "":
            raise Invalid('"File path must not be blank"')
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                self.invocation.request.expression = file.read()
        except FileNotFoundError:
            raise Invalid(f'"File {path} does not exist"') from None
        except IsADirectoryError:
            raise Invalid(":eisdir") from None
        except OSError as problem:
            raise Invalid(
                f'"File {path} cannot be read: {os.strerror(problem.errno or 0)}"'
            ) from None
        super()._check()


class Exec(Behaviour):
    """Elixir in the tool itself: there is none here but for literals."""

    def validate(self) -> None:
        """A blank expression is refused."""
        super().validate()
        if self.invocation.arguments[0] == "":
            raise Invalid('"Expression must not be blank"')

    def run(self) -> Result:
        """No node is asked."""
        from mqctl.elixir import NotKnown, evaluate

        try:
            value = evaluate(self.invocation.arguments[0])
        except NotKnown as problem:
            raise error(str(problem)) from problem
        return Value(value, wrapped=True)
