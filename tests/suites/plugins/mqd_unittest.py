"""Runs tests that want unittest's own loader, and prints one line for each: its outcome and name.

    python mqd_unittest.py MODULE ... [-NAME ...]

A name after a dash is not run. Decides nothing else; runs in the interpreter of the suites, so it
imports nothing of mqd.
"""

from __future__ import annotations

import sys
import traceback
import unittest
from collections.abc import Iterator
from typing import Any


class Lines(unittest.TestResult):
    """Says each outcome when it is known."""

    def startTest(self, test: Any) -> None:  # noqa: N802
        super().startTest(test)
        self._bad = False

    def stopTest(self, test: Any) -> None:  # noqa: N802
        super().stopTest(test)
        kind = "failed" if self._bad else self._good
        print(f"outcome {kind} {test.id()}", flush=True)

    def _tell(self, error: Any, details: Any) -> None:
        """testtools hands over details instead of an error."""
        self._bad = True
        if error is not None:
            traceback.print_exception(*error, file=sys.stdout)
        for name, content in (details or {}).items():
            print(f"-- {name}\n{content.as_text()}")

    _good = "passed"

    def addSuccess(self, test: Any, details: Any = None) -> None:  # noqa: N802
        self._good = "passed"

    def addSkip(self, test: Any, reason: Any = None, details: Any = None) -> None:  # noqa: N802
        self._good = "skipped"

    def addFailure(self, test: Any, err: Any = None, details: Any = None) -> None:  # noqa: N802
        self._tell(err, details)

    def addError(self, test: Any, err: Any = None, details: Any = None) -> None:  # noqa: N802
        self._tell(err, details)


def _each(suite: Any) -> Iterator[Any]:
    if isinstance(suite, unittest.TestSuite):
        for one in suite:
            yield from _each(one)
    else:
        yield suite


def main() -> int:
    names = [word for word in sys.argv[1:] if not word.startswith("-")]
    left_out = {word[1:] for word in sys.argv[1:] if word.startswith("-")}
    loaded = unittest.defaultTestLoader.loadTestsFromNames(names)
    wanted = [test for test in _each(loaded) if test.id() not in left_out]
    unittest.TestSuite(wanted).run(Lines())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
