"""How a call of a tool can fail, each with its exit code and its text.

Decides nothing else: `pipeline.py` catches Failure in one place and prints it.
"""

from __future__ import annotations

from mqctl import exit_codes


class Failure(Exception):
    """The call ends with this exit code; text, when there is any, goes to standard error."""

    def __init__(self, exit_code: int, text: str | None) -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.text = text


class Invalid(Exception):
    """Arguments that are refused before anything is done."""

    def __init__(self, detail: str, exit_code: int = exit_codes.USAGE) -> None:
        super().__init__(detail)
        self.detail = detail
        self.exit_code = exit_code


class BadEnvironment(Invalid):
    """The target node is in the wrong state for this verb."""


def bad_argument(detail: str = "") -> Invalid:
    """A value that cannot be used: exit 65."""
    return Invalid(f"Bad argument: {detail}" if detail else "Bad argument.", exit_codes.DATA)


def error(text: str, exit_code: int = exit_codes.UNAVAILABLE) -> Failure:
    """The common form: a line "Error:", then the text."""
    return Failure(exit_code, f"Error:\n{text}")


def crash(text: str) -> Failure:
    """Where the mirrored tool crashes on a value and prints it (observed: 3.10.8)."""
    return Failure(exit_codes.SOFTWARE, f"{text}\n")


def check_failed(text: str | None) -> Failure:
    """A health check that did not pass: its finding, without "Error:"."""
    return Failure(exit_codes.UNAVAILABLE, text)


NEED_RUNNING = (
    "this command requires the 'rabbit' app to be running on the target node. "
    "Start it with 'rabbitmqctl start_app'."
)
NEED_STOPPED = (
    "this command requires the 'rabbit' app to be stopped on the target node. "
    "Stop it with 'rabbitmqctl stop_app'."
)
