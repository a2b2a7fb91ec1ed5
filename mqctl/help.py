"""Usage texts: of a tool, of a verb.

Decides their layout (that of the mirrored tools, whose headings are bold even when nobody looks);
the words come from the catalogue.
"""

from __future__ import annotations

from mqctl import catalogue
from mqctl.catalogue import Argument, Verb

SECTIONS: dict[str, tuple[int, str]] = {
    "help": (1, "Help"),
    "node_management": (2, "Nodes"),
    "cluster_management": (3, "Cluster"),
    "replication": (4, "Replication"),
    "user_management": (5, "Users"),
    "access_control": (6, "Access Control"),
    "observability": (7, "Monitoring, observability and health checks"),
    "parameters": (8, "Parameters"),
    "policies": (9, "Policies"),
    "virtual_hosts": (10, "Virtual hosts"),
    "configuration": (11, "Configuration and Environment"),
    "definitions": (12, "Definitions"),
    "feature_flags": (13, "Feature flags"),
    "operations": (14, "Operations"),
    "queues": (15, "Queues"),
    "plugin_management": (16, "Plugin Management"),
    "upgrade": (17, "Upgrade"),
    "management_plugin": (18, "Management plugin"),
    "other": (100, "Other"),
    "deprecated": (999, "Deprecated"),
}

_GENERAL = """{heading}

Most commands accept these:

short            | long                | description
-----------------|---------------------|--------------------------------------------
-?               | --help              | displays this help
-n <node>        | --node <node>       | the node to talk to
-l               | --longnames         | node names have fully qualified host parts
-t <seconds>     | --timeout <seconds> | how long the command may take
-q               | --quiet             | no informational messages
-s               | --silent            | neither those nor a table's header
-p <vhost>       | --vhost <vhost>     | virtual host, for commands that work in one
                 | --formatter <name>  | table, csv, json, json_stream, erlang,
                 |                     | pretty_table or string
                 | --dry-run           | says what it would do, and does nothing
"""


def bold(text: str) -> str:
    """A heading."""
    return f"\x1b[1m{text}\x1b[0m"


def word(argument: Argument) -> str:
    """A positional in a usage line."""
    if argument.spec.columns:
        return "[<column> ...]"
    if argument.repeated:
        return f"<{argument.shown}> [...]"
    return f"[<{argument.shown}>]" if argument.spec.optional else f"<{argument.shown}>"


def switch(argument: Argument) -> str:
    """A switch with its short form and its value."""
    flag = "--" + argument.flag.replace("_", "-")
    if argument.spec.short:
        flag += f"|-{argument.spec.short}"
    value = "" if argument.kind == "boolean" else f" <{argument.spec.value or argument.field}>"
    return f"{flag}{value}"


def usage_line(verb: Verb, tool: str) -> str:
    """tool, general options, the verb and its arguments."""
    words = [f"{tool} [--node <node>] [--longnames] [--quiet]", verb.name]
    vhost = [a for a in verb.arguments if a.spec.vhost]
    switches = [a for a in verb.arguments if a.flag in verb.switches]
    words += ["[--vhost <vhost>]"] * bool(vhost)
    words += [f"[{switch(a)}]" for a in switches]
    words += ["[--no-table-headers]"] * (verb.spec.formatter == "table")
    words += [word(a) for a in verb.arguments if a.spec.positional or a.spec.columns]
    words += ["[--timeout <timeout>]"] * bool(verb.spec.timeout_s or verb.streams)
    return " ".join(words)


def base_usage(verb: Verb, tool: str) -> str:
    """What follows a refusal of arguments."""
    return f"\n{bold('Usage')}\n\n{usage_line(verb, tool)}"


def _details(verb: Verb) -> list[str]:
    items = []
    for argument in verb.arguments:
        if argument.spec.columns:
            items.append(f"<column>\n\tone of {', '.join(sorted(verb.columns))}\n")
        elif argument.spec.positional:
            items.append(f"<{argument.shown}>\n\t{argument.spec.help}\n")
        elif not argument.spec.vhost:
            items.append(f"{switch(argument)}\n\t{argument.spec.help}\n")
    return items


def verb_usage(verb: Verb, tool: str) -> str:
    """All there is to say about a verb."""
    parts = [base_usage(verb, tool)]
    if verb.spec.help:
        parts.append(verb.spec.help + ".\n")
    details = _details(verb)
    if details:
        parts.append("\n".join([bold("Arguments and Options") + "\n", *details]))
    guides = [f" * https://rabbitmq.com/{guide}.html\n" for guide in verb.spec.guides]
    if guides:
        parts.append("\n".join([bold("Relevant Doc Guides") + "\n", *guides]))
    parts.append(_GENERAL.format(heading=bold("General Options")))
    return "\n\n".join(parts)


def commands(scope: int) -> str:
    """Every verb of a scope under its heading."""
    verbs = [verb for verb in catalogue.every(scope) if not verb.spec.hidden]
    width = max((len(verb.name) for verb in verbs), default=0)
    found: dict[str, list[str]] = {}
    for verb in sorted(verbs, key=lambda v: v.name):
        line = f"   {verb.name.ljust(width)}  {verb.spec.help}\n"
        found.setdefault(verb.spec.section, []).append(line)
    order = sorted(found, key=lambda key: SECTIONS[key][0])
    parts = (f"\n{bold(SECTIONS[section][1])}:\n\n" + "".join(found[section]) for section in order)
    return "".join(parts) + "\n"


def tool_usage(scope: int, tool: str) -> str:
    """The whole tool."""
    head = (
        f"\n{bold('Usage')}\n\n{tool} [--node <node>] [--timeout <timeout>] [--longnames] "
        "[--quiet] <command> [<command options>]"
    )
    foot = f"Use '{tool} help <command>' to learn more about a specific command"
    return f"{head}\n\nAvailable commands:\n{commands(scope)}{foot}"
