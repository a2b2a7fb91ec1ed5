"""The verbs as a click command tree: what shell completion and the man pages walk.

Decides how an argument of the catalogue is declared to click. Never runs a verb: calls go through
`pipeline.py`, whose reading of the command line is the mirrored tools' (options.py) and whose
start click's import would more than double.
"""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from mqctl import catalogue
from mqctl.catalogue import Argument, Verb
from mqctl.names import kind_of, names
from mqctl.output.printing import FORMATTERS

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_TYPES = {"boolean": click.BOOL, "integer": click.INT, "float": click.FLOAT, "string": click.STRING}


def _column_type(verb: Verb) -> click.Choice[str]:
    return click.Choice(list(verb.columns))


def _completing(kind: str | None) -> Complete | None:
    """What offers the names of a kind that begin as typed; a pid is quoted by the shell itself."""
    if kind is None:
        return None

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        given = {} if ctx.parent is None else dict(ctx.parent.params)
        given |= {key: value for key, value in ctx.params.items() if value is not None}
        return [CompletionItem(name) for name in names(kind, given) if name.startswith(incomplete)]

    return complete


def parameter(verb: Verb, argument: Argument) -> click.Parameter | None:
    """One argument as click knows it; None for what the general options cover."""
    spec = argument.spec
    if spec.vhost:
        return None
    if spec.columns:
        return click.Argument([argument.field], type=_column_type(verb), nargs=-1, required=False)
    if spec.positional:
        count = -1 if argument.repeated else 1
        words = argument.shown.split(" | ")
        is_choice = len(words) > 1 and all(map(str.isidentifier, words))
        kind = click.Choice(words) if is_choice else None
        return click.Argument(
            [argument.field],
            type=kind,
            nargs=count,
            required=argument.required,
            shell_complete=None if is_choice else _completing(kind_of(verb.name, argument.shown)),
        )
    flags = ["--" + argument.flag.replace("_", "-")]
    if spec.short:
        flags.append("-" + spec.short)
    if argument.kind == "boolean":
        return click.Option(flags, is_flag=True, help=spec.help)
    return click.Option(flags, type=_TYPES[argument.kind], metavar=spec.value, help=spec.help)


def general_options() -> list[click.Parameter]:
    """What every verb takes."""
    return [
        click.Option(["-n", "--node"], help="the node to talk to"),
        click.Option(["-p", "--vhost"], help="virtual host", shell_complete=_completing("vhost")),
        click.Option(["-t", "--timeout"], type=click.INT, help="seconds the command may take"),
        click.Option(["-q", "--quiet"], is_flag=True, help="no informational messages"),
        click.Option(["-s", "--silent"], is_flag=True, help="neither those nor table headers"),
        click.Option(["-l", "--longnames"], is_flag=True, help="fully qualified host names"),
        click.Option(["--formatter"], type=click.Choice(sorted(FORMATTERS)), help="output format"),
        click.Option(["--dry-run"], is_flag=True, help="say what would be done"),
    ]


def command(verb: Verb) -> click.Command:
    """One verb."""
    params = [p for a in verb.arguments if (p := parameter(verb, a)) is not None]
    return click.Command(
        verb.name,
        params=params + general_options(),
        help=verb.spec.help,
        short_help=verb.spec.help,
        hidden=verb.spec.hidden,
    )


class Tool(click.Group):
    """All verbs of a scope; each is read from the catalogue when it is asked for."""

    def __init__(self, name: str, scope: int) -> None:
        super().__init__(name, params=general_options())
        self.scope = scope

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in order."""
        return sorted(catalogue.names(self.scope))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One verb by name."""
        verb = catalogue.find(cmd_name, self.scope)
        return None if verb is None else command(verb)
