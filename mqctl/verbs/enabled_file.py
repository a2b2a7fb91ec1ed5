"""The file enabled_plugins as a tool reads and writes it, and what it says when it cannot.

Decides the texts of failures, 3.10.8's as far as they say what is wrong. The syntax is
`mqd.plugins.enabled`'s.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mqctl import exit_codes
from mqctl.failures import Failure, error
from mqctl.output.inspect import inspect
from mqctl.output.terms import Chars

if TYPE_CHECKING:
    from mqd.plugins.enabled import Malformed

DENIED = "the file does not exist or permission was denied (EACCES)"


def _erlang_code(problem: OSError) -> str:
    return errno.errorcode.get(problem.errno or 0, "EIO").lower()


def read(path: str) -> list[str]:
    """Names in the order of the file; no file, no plugins. Raises Failure 65 or 69."""
    place = inspect(Chars(path))
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    except PermissionError as problem:
        text = f"Could not read enabled plugins file at {path}: {DENIED}"
        raise error(text, exit_codes.DATA) from problem
    except OSError as problem:
        fault = f"{{:cannot_read_enabled_plugins_file, {place}, :{_erlang_code(problem)}}}"
        raise error(f"Error:\n{fault}") from problem
    except UnicodeDecodeError as problem:
        raise error(f"Error:\n{path}: it is not text") from problem
    from mqd.plugins.enabled import Malformed, parse  # 10 ms: only where there is a file

    try:
        return parse(text, path)
    except Malformed as problem:
        raise error(f"Error:\n{_erlang_fault(problem, place)}") from problem


def _erlang_fault(problem: Malformed, place: str) -> str:
    """In 3.10.8's words, of which scripts know some; they name the line, too."""
    if problem.is_after:
        return f"{{:malformed_enabled_plugins_file, {place}}}"
    at = f"'{problem.found}'" if problem.found in ("[", "]", ",", ".") else problem.found
    found = inspect(Chars(at)) if at else "[]"
    fault = f"{{{problem.line}, :erl_parse, ['syntax error before: ', {found}]}}"
    return f"{{:cannot_read_enabled_plugins_file, {place}, {fault}}}"


def write(path: str, names: Sequence[str]) -> None:
    """Whole or not at all where the folder allows it. Raises Failure 65 or 70."""
    from mqd.plugins.enabled import show

    try:
        _replace(os.path.realpath(path), show(names))
    except OSError as problem:
        raise _refused(path, problem) from problem


def _refused(path: str, problem: OSError) -> Failure:
    words = {
        errno.ENOENT: "the file does not exist (ENOENT)",
        errno.EACCES: DENIED,
    }
    known = words.get(problem.errno or 0)
    if known:
        return error(f"Could not update enabled plugins file at {path}: {known}", exit_codes.DATA)
    detail = f"{{:cannot_write_enabled_plugins_file, {inspect(path)}, :{_erlang_code(problem)}}}"
    return error(detail, exit_codes.SOFTWARE)


def _replace(path: str, text: str) -> None:
    """A new file in the old one's place, with its owner and mode; the old one rewritten where the
    folder takes no new file."""
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    old = os.stat(path) if os.path.exists(path) else None
    if old is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    import tempfile  # 10 ms that a listing need not pay

    try:
        handle, fresh = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".enabled_plugins.")
    except PermissionError:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            _dress(file.fileno(), old)
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


def _dress(handle: int, old: os.stat_result | None) -> None:
    if old is None:
        os.fchmod(handle, 0o644)
        return
    os.fchmod(handle, old.st_mode & 0o777)
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        # somebody else's file that we may write becomes ours
        with contextlib.suppress(PermissionError):
            os.fchown(handle, old.st_uid, old.st_gid)
