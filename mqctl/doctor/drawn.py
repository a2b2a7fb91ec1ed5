"""The same report on a terminal, with colours and lines that fit the window. Imports rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mqctl.doctor.findings import ERROR, FINE, WARNING, Outcome
from mqctl.doctor.report import is_well, verdict

_STYLES = {ERROR: "bold red", WARNING: "yellow", FINE: "green"}
_MARKS = {ERROR: "✗ error", WARNING: "! warning", FINE: "✓ ok"}


def draw(out: TextIO, outcomes: Sequence[Outcome], quiet: bool) -> None:
    """To a terminal."""
    console = Console(file=out, highlight=False)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for outcome in outcomes:
        if outcome.says and not quiet:
            grid.add_row(_mark(FINE), outcome.check, Text(outcome.says, style="dim"))
        for finding in outcome.findings:
            said = Text(finding.what, style=_STYLES[finding.severity])
            said.append(f"\n{finding.why}", style="default")
            said.append("\n$ ", style="dim")
            said.append(finding.fix, style="cyan")
            grid.add_row(_mark(finding.severity), outcome.check, said)
    console.print(grid)
    if not quiet:
        style = "bold green" if is_well(outcomes) else "bold red"
        console.print(Text(f"\n{verdict(outcomes)}.", style=style))


def _mark(severity: str) -> Text:
    return Text(_MARKS[severity], style=_STYLES[severity])
