"""Shell completion: what bash, zsh and fish ask for through click.

`eval "$(_MQCTL_COMPLETE=bash_source mqctl)"` turns it on; the other tools have their own variable.
"""

from __future__ import annotations

import os


def variable(program: str) -> str:
    """The environment variable click uses for a program."""
    return f"_{os.path.basename(program).replace('-', '_').replace('.', '_')}_COMPLETE".upper()


def complete(program: str, scope: int) -> None:
    """Answer the shell and exit."""
    from mqctl.tree import Tool

    name = os.path.basename(program)
    Tool(name, scope).main([], prog_name=name, complete_var=variable(program))
