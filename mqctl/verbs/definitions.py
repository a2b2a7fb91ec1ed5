"""Definitions: the files, which the node never sees, and what is shown meanwhile.

Decides how a file is read and written and in which words that fails. Never looks into one.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import Refused
from mqctl.failures import Failure, bad_argument, crash, error
from mqctl.invocation import Invocation
from mqctl.output.inspect import inspect
from mqctl.output.results import OK, Result, Silence, Value

_SHOWN = {"json": "JSON", "erlang": "Erlang term format"}
_INSPECTED_MAX = 4096  # characters of a text that Elixir shows
CONTENT_BYTES_MAX = 67_000_000
_IMPORT_SHOWN = "/mqd.rpc.v1.Definitions/ImportShown"


class _Definitions(Behaviour):
    def __init__(self, invocation: Invocation, say: Callable[[str], None]) -> None:
        super().__init__(invocation, say)
        self.options["printer"] = "std_io_raw"  # observed: 3.10.8, whatever was asked for

    @property
    def path(self) -> str:
        """As it was typed; empty when it was not."""
        return self.invocation.arguments[0] if self.invocation.arguments else ""

    def validate(self) -> None:
        """Two formats, in any case."""
        super().validate()
        self.check_path()
        if self.invocation.request.format.lower() not in _SHOWN:
            raise bad_argument("Format should be either json or erlang")

    def check_path(self) -> None:
        """What is wrong with the file before anyone is asked."""

    def banner(self) -> str | None:
        """The format by its full name."""
        shown = _SHOWN[self.invocation.request.format.lower()]
        source = f'a file at "{self.path}"' if self.invocation.arguments else "standard input"
        return self.invocation.fill(self.verb.spec.banner, {"shown": shown, "source": source})

    def text(self, text: str) -> Result:
        """A text on its own: no row for csv, nothing for report (observed: 3.10.8)."""
        if self.invocation.formatter == "report":
            words = "format_output is not implemented for report formatter"
            raise crash(f'%RuntimeError{{message: "{words}"}}')
        if self.invocation.formatter in ("csv", "json_stream"):
            shown = inspect(text[:_INSPECTED_MAX]) + (" <> ..." if text[_INSPECTED_MAX:] else "")
            raise crash(
                f'%Protocol.UndefinedError{{protocol: Enumerable, value: {shown}, description: ""}}'
            )
        return Value(text)


class ExportDefinitions(_Definitions):
    """To a file, or to standard output."""

    def check_path(self) -> None:
        """Its folder has to be there."""
        folder = os.path.dirname(self.path)
        if self.path != "-" and folder and not os.path.exists(folder):
            raise bad_argument(f"Directory {folder} does not exist")

    def banner(self) -> str | None:
        """None above what goes to standard output."""
        return None if self.path == "-" else super().banner()

    def output(self, message: Any) -> Result:
        """Exactly what came: no end of line follows."""
        if self.path == "-":
            return self.text(message.content.decode("utf-8", "surrogateescape"))
        try:
            if self.path == "":
                raise IsADirectoryError(errno.EISDIR, "")
            with open(self.path, "wb") as file:
                file.write(message.content)
        except OSError as problem:
            raise self._not_written(problem) from problem
        return Silence()

    def _not_written(self, problem: OSError) -> Failure:
        known = {
            errno.EISDIR: f"Path {self.path} is a directory",
            errno.ENOENT: f"Parent directory or file {self.path} does not exist",
            errno.EACCES: f"No permissions to write to file {self.path} or its parent directory",
            errno.ENOTDIR: f"Parent directory of file {self.path} is not a directory",
            errno.ENOSPC: f"No space left on device hosting {self.path}",
        }
        text = known.get(problem.errno or 0)
        if text is None:
            text = f"Could not write to file {self.path}: {problem.strerror}"
        return error(text, exit_codes.DATA)


class ImportDefinitions(_Definitions):
    """From a file, or from standard input."""

    def check_path(self) -> None:
        """It has to be there."""
        if self.invocation.arguments and not os.path.exists(self.path):
            raise bad_argument(f"File {self.path} does not exist")

    def execute(self) -> Result:
        """The file is read before the node is asked, unless that takes its time or fails: then
        the node's state and the banner come first."""
        if self.options.get("dry_run") or self.invocation.timeout_s == 0:
            return super().execute()
        problem = None
        if self.invocation.arguments:
            try:
                self.invocation.request.content = self._read()
                self.invocation.request.located = sys.stderr.isatty()
            except Failure as failure:
                problem = failure
        if problem is None and self.invocation.arguments and not self._is_watched():
            return super().execute()
        self.probe()
        self.print_banner()
        if problem is not None:
            raise problem
        if not self.invocation.arguments:
            self.invocation.request.content = self._bounded(sys.stdin.buffer.read())
            self.invocation.request.located = sys.stderr.isatty()
        return self._watched() if self._is_watched() else self.run()

    def _read(self) -> bytes:
        try:
            with open(self.path, "rb") as file:
                content = file.read()
        except OSError as problem:
            raise self._not_read(problem) from problem
        if not content:
            raise error(f"File {self.path} is zero-sized", exit_codes.DATA)
        return self._bounded(content)

    def _bounded(self, content: bytes) -> bytes:
        """What the node takes in one call."""
        if len(content) > CONTENT_BYTES_MAX:
            what = f"File {self.path}" if self.path else "What comes"
            text = f"{what} is larger than {CONTENT_BYTES_MAX // 1_000_000} MB: import it in parts"
            raise error(text, exit_codes.DATA)
        return content

    def _not_read(self, problem: OSError) -> Failure:
        known = {
            errno.EISDIR: f"Path {self.path} is a directory",
            errno.ENOENT: f"Parent directory or file {self.path} does not exist",
            errno.EACCES: f"No permissions to read from file {self.path} or its parent directory",
        }
        name = errno.errorcode.get(problem.errno or 0, "unknown").lower()
        text = known.get(problem.errno or 0, f"Could not read from file {self.path}: {name}")
        return error(text, exit_codes.DATA)

    # -- progress, on a terminal ---------------------------------------------------------------

    def _is_watched(self) -> bool:
        return sys.stderr.isatty() and self.invocation.shows_banner

    def _watched(self) -> Result:
        """The same with a bar on the error stream, which is gone when it is through."""
        from mqd.rpc.v1 import definitions_pb2 as pb

        reply = self.client.call(_IMPORT_SHOWN, self.invocation.request, pb.ImportProgress)
        result = pb.ImportedDefinitions()
        from mqctl.output.progress import Bar

        with Bar("Importing definitions") as bar:
            for progress in reply:
                bar.show(progress.done, progress.total)
                result = progress.result
        for each in result.left_out:
            sys.stderr.write(f"left out: {each}\n")
        return self.output(result)

    def output(self, message: Any) -> Result:
        """Nothing when quiet; an object as JSON. A refusal is in the reply."""
        if message.refused:
            from mqd.rpc.v1 import values_pb2

            raise Refused(values_pb2.ErrorCode.Name(message.refused), message.text)
        if self.invocation.is_json:
            return OK
        if self.invocation.is_quiet:
            return Silence()
        result = super().output(message)
        return self.text(str(result.term)) if isinstance(result, Value) else result
