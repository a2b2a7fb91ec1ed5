"""The entry point of all tools: the name a program is called by chooses its scope.

Decides nothing about verbs: finds the one meant, hands it to the pipeline, exits with its code.
Imports as little as it can: the time from here to the first byte sent is most of what a call costs.
"""

from __future__ import annotations

import os
import sys

from mqctl import catalogue, exit_codes

SCOPES = {
    "ctl": catalogue.CTL,
    "mqctl": catalogue.CTL,
    "rabbitmqctl": catalogue.CTL,
    "diagnostics": catalogue.DIAG,
    "plugins": catalogue.PLUG,
    "queues": catalogue.QUE,
    "streams": catalogue.STR,
    "upgrade": catalogue.UPG,
}


def scope_of(tool: str) -> int:
    """mq-diagnostics, rabbitmq-diagnostics -> diagnostics; anything unknown is mqctl."""
    name = os.path.basename(tool).partition(".")[0]
    return SCOPES.get(name) or SCOPES.get(name.rpartition("-")[2], catalogue.CTL)


def run(tool: str, argv: list[str]) -> int:
    """One call; prints, and returns the exit code."""
    from mqctl.pipeline import Pipeline

    pipeline = Pipeline(tool, scope_of(tool), sys.stdout, sys.stderr)
    return pipeline.run(argv)


def main() -> None:
    """Console script."""
    if any(name.endswith("_COMPLETE") for name in os.environ):  # may be a shell that asks
        from mqctl.completion import complete, variable

        if variable(sys.argv[0]) in os.environ:
            complete(sys.argv[0], scope_of(sys.argv[0]))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        code = run(os.path.basename(sys.argv[0]), sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = exit_codes.OK
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
