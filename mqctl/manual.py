"""The manual pages of the tools, written from the catalogue: `python -m mqctl.manual FOLDER`.

Decides the layout of the pages; every word on a verb is the catalogue's. mqctl(8) tells all that
the tools have in common and every verb of any of them; each other tool has a page of its own verbs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mqctl import catalogue
from mqctl.catalogue import Argument, Verb
from mqctl.help import SECTIONS, switch, word

TOOLS = (
    ("mqctl", catalogue.CTL, "administer mqd"),
    ("mq-diagnostics", catalogue.DIAG, "health checks and inspection of mqd"),
    ("mq-plugins", catalogue.PLUG, "plugins of mqd"),
    ("mq-queues", catalogue.QUE, "replicated queues of mqd"),
    ("mq-streams", catalogue.STR, "streams of mqd"),
    ("mq-upgrade", catalogue.UPG, "maintenance of mqd"),
)

_TITLE = r""".\" Written by mqctl/manual.py from the catalogue (make man). Do not edit.
.TH {upper} 8 "" "mqd" "System administration"
.SH NAME
{names} \- {purpose}
.SH SYNOPSIS
.B {name}
.RI [ options ]
.I command
.RI [ arguments ]
"""

_HEAD = r""".SH DESCRIPTION
One program under several names; the name chooses which commands there are. Names, output, streams
and exit codes are those of RabbitMQ 3.10's tools. A command talks to the node named by
.BR \-n ,
.BR RABBITMQ_NODENAME ,
.B MQD_NODENAME
or NODENAME in
.IR rabbitmq\-env.conf ,
else
.IR rabbit@ host,
through that node's control socket in
.I /run/mqd
(or
.BR MQD_RUN_DIR ,
or the user's runtime directory).
.SH OPTIONS
Options may stand anywhere; \fB\-\-\fR ends them.
"""

_OPTIONS = (
    (r"\fB\-n\fR, \fB\-\-node\fR \fInode\fR", "the node to talk to; a name alone means this host"),
    (r"\fB\-l\fR, \fB\-\-longnames\fR", "node names have fully qualified host parts"),
    (r"\fB\-p\fR, \fB\-\-vhost\fR \fIvhost\fR", "virtual host, / unless given"),
    (r"\fB\-t\fR, \fB\-\-timeout\fR \fIseconds\fR", "how long the command may take"),
    (r"\fB\-q\fR, \fB\-\-quiet\fR", "no informational messages"),
    (r"\fB\-s\fR, \fB\-\-silent\fR", "neither those nor a table's header"),
    (
        r"\fB\-\-formatter\fR \fIname\fR",
        "table, csv, json, json_stream, erlang, pretty_table or string",
    ),
    (r"\fB\-\-no\-table\-headers\fR", "a table without its header"),
    (r"\fB\-\-printer\fR \fBfile \-\-file\fR \fIpath\fR", "write the result to a file"),
    (r"\fB\-\-erlang\-cookie\fR \fIcookie\fR", "the secret shared with the node"),
    (r"\fB\-\-dry\-run\fR", "check, say what would be done, and do nothing"),
    (r"\fB\-?\fR, \fB\-\-help\fR", "usage"),
)

_FOOT = r""".SH EXIT STATUS
.TP
0
success
.TP
64
wrong usage, or the node is in the wrong state for the command
.TP
65
a value that cannot be used, or a thing that does not exist
.TP
67
no such user
.TP
69
the node cannot be reached, a check failed, or the node refused
.TP
70
the operation failed
.TP
75
time is over
.SH FILES
.TP
.I $HOME/.erlang.cookie
the secret shared with the node
.SH COMPLETION
Commands, switches, columns, and the names of virtual hosts, users, queues, exchanges, policies and
connections, which the node is asked for. In bash, zsh (zsh_source) and, without eval, fish
(fish_source | source); for the other tools with their own name, as in _MQ_QUEUES_COMPLETE:
.PP
.nf
eval "$(_MQCTL_COMPLETE=bash_source mqctl)"
.fi
.SH SEE ALSO
.BR mqd (8),
.BR mqd.conf (5),
.BR mqd\-differences (7)
"""

_OTHER = r""".SH DESCRIPTION
The commands of this tool. Node names, options that every command takes, exit codes and files are
those of
.BR mqctl (8),
which is the same program under another name.
"""

_OTHER_FOOT = r""".SH SEE ALSO
.BR mqctl (8),
.BR mqd (8)
"""


def escape(text: str) -> str:
    """Text as roff takes it."""
    safe = text.replace("\\", r"\e").replace("-", r"\-")
    return "\\&" + safe if safe[:1] in (".", "'") else safe


def _argument(verb: Verb, argument: Argument) -> str:
    spec = argument.spec
    if spec.columns:
        return f".IP {escape('<column>')}\n{escape(', '.join(verb.columns))}\n"
    label = f"<{argument.shown}>" if spec.positional else switch(argument)
    return f'.IP "{escape(label)}"\n{escape(spec.help)}\n'


def _verb(verb: Verb, tools: list[str]) -> str:
    shown = [a for a in verb.arguments if not a.spec.vhost]
    vhost = ["[-p <vhost>]"] if len(shown) < len(verb.arguments) else []
    usage = [*vhost, *(f"[{switch(a)}]" for a in shown if a.flag in verb.switches)]
    usage += [word(a) for a in shown if a.spec.positional or a.spec.columns]
    lines = [f".TP\n\\fB{escape(verb.name)}\\fR {escape(' '.join(usage))}\n"]
    lines.append(f"{escape(verb.spec.help)}.\n")
    if tools != ["mqctl"]:
        lines.append(f"({escape(', '.join(tools))})\n")
    details = "".join(_argument(verb, argument) for argument in shown)
    return "".join(lines) + (f".RS\n{details}.RE\n" if details else "")


def _title(name: str, purpose: str, names: str | None = None) -> str:
    shown = escape(name)
    return _TITLE.format(upper=shown.upper(), name=shown, names=names or shown, purpose=purpose)


def _sections(verbs: dict[str, Verb], where: dict[str, list[str]]) -> Iterator[str]:
    for section, (_, title) in sorted(SECTIONS.items(), key=lambda item: item[1]):
        keys = [key for key in sorted(verbs) if verbs[key].spec.section == section]
        if keys:
            yield f".SS {escape(title)}\n"
            for key in sorted(keys, key=lambda key: verbs[key].name):
                yield _verb(verbs[key], where[key])


def page() -> str:
    """mqctl(8): what all tools have in common, and every verb."""
    where: dict[str, list[str]] = {}
    verbs: dict[str, Verb] = {}
    for tool, scope, _ in TOOLS:
        for verb in catalogue.every(scope, of_plugins=True):
            key = f"{verb.path}#{verb.name}"
            where.setdefault(key, []).append(tool)
            verbs[key] = verb
    names = escape(", ".join(tool for tool, _, _ in TOOLS))
    parts = [_title("mqctl", "administer mqd", names), _HEAD]
    parts += [f".TP\n{label}\n{escape(text)}\n" for label, text in _OPTIONS]
    return "".join([*parts, ".SH COMMANDS\n", *_sections(verbs, where), _FOOT])


def tool_page(tool: str, scope: int, purpose: str) -> str:
    """The page of another tool: its verbs."""
    verbs = {f"{v.path}#{v.name}": v for v in catalogue.every(scope, of_plugins=True)}
    where = {key: ["mqctl"] for key in verbs}  # of one tool: not said with each
    body = ".SH COMMANDS\n" + "".join(_sections(verbs, where))
    return _title(tool, purpose) + _OTHER + body + _OTHER_FOOT


def pages() -> dict[str, str]:
    """File name -> content."""
    others = {f"{tool}.8": tool_page(tool, scope, purpose) for tool, scope, purpose in TOOLS[1:]}
    return {"mqctl.8": page(), **others}


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text)
