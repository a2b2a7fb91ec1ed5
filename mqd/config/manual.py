"""mqd.conf(5), written from the table of keys.

Decides the page's layout only; `make man` writes man/mqd.conf.5 with it, and a test compares the
two. Never imported by the daemon.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby

from mqd.config.schema import Key, schema
from mqd.config.variables import VARIABLES

_HEAD = r""".TH MQD.CONF 5 "" "mqd" "File formats"
.SH NAME
mqd.conf, rabbitmq.conf \- configuration of the mqd message broker
.SH SYNOPSIS
.nf
/etc/rabbitmq/rabbitmq.conf
/etc/rabbitmq/conf.d/*.conf
/etc/mqd/mqd.conf
.fi
.SH DESCRIPTION
The files are read in this order, in the form of RabbitMQ's
.IR rabbitmq.conf :
one
.I key = value
on a line. A # starts a comment; a value in single quotes may hold one. Of several equal keys the
last one counts. $(key) stands for the value of another key, $(NAME) for an environment variable.
Unknown keys and values that cannot be read stop the start, each named with file, line and the
nearest known key.
.B mqd --check
prints every effective value with its origin.
.PP
.B RABBITMQ_CONFIG_FILE
names another main file, with or without its suffix; /etc/mqd/mqd.conf is not read then.
Users other than root who do not own /var/lib/mqd have their files in ~/.config/mqd.
.PP
Precedence, highest first: MQD_ variables, files, RABBITMQ_ variables, rabbitmq-env.conf, defaults.
"""


def page() -> Iterator[str]:
    """The lines of the page."""
    yield _HEAD.rstrip("\n")
    yield ".SH KEYS"
    for key in schema().keys:
        if key.works:
            yield from _entry(key)
    yield ".SH ACCEPTED KEYS"
    yield "Files that use these keys of RabbitMQ load; in this version they have no effect."
    accepted = sorted((key for key in schema().keys if not key.works), key=_area)
    for area, keys in groupby(accepted, key=lambda key: key.doc):
        yield f".SS {area}"
        names = [_escaped(key.name) for key in keys]
        yield from (f"{name}," for name in names[:-1])
        yield f"{names[-1]}."
    yield ".SH ENVIRONMENT"
    yield "Each as RABBITMQ_NAME or MQD_NAME, or as NAME=value in rabbitmq-env.conf."
    for name, doc in VARIABLES.items():
        yield f".TP\n.B {name}\n{_escaped(doc)}."
    yield ".SH SEE ALSO\n.BR mqd (8),\n.BR mqctl (8)"


def _area(key: Key) -> tuple[str, str]:
    return key.doc, key.name


def _entry(key: Key) -> Iterator[str]:
    yield f".TP\n.B {_escaped(key.name)}"
    unit = f", {key.unit}" if key.unit else ""
    default = "" if key.default is None else f" Default: {_escaped(_shown(key))}{unit}."
    yield f"{_escaped(key.doc)}. Value: {_escaped(key.kind.label)}.{default}"


def _shown(key: Key) -> str:
    if isinstance(key.default, bool):
        return "true" if key.default else "false"
    return str(key.default)


def _escaped(text: str) -> str:
    """For roff: a backslash is \\e, and a line must not begin with a dot or an apostrophe."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")
