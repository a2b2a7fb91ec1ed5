"""mqd.conf(5), written from the table of keys.

Decides the page's layout only; `make man` writes man/mqd.conf.5 with it, and a test compares the
two. Never imported by the daemon.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby

from mqd.config.schema import Key, schema
from mqd.config.variables import NO_EFFECT, VARIABLES

_HEAD = r""".TH MQD.CONF 5 "" "mqd" "File formats"
.SH NAME
mqd.conf, rabbitmq.conf \- configuration of the mqd message broker
.SH SYNOPSIS
.nf
/etc/rabbitmq/rabbitmq.conf
/etc/rabbitmq/conf.d/*.conf
/etc/mqd/mqd.conf
/etc/rabbitmq/rabbitmq.config
/etc/rabbitmq/advanced.config
/etc/rabbitmq/rabbitmq-env.conf
.fi
.SH DESCRIPTION
The files are read in this order, a later one winning. Those named
.I *.conf
have the form of RabbitMQ's
.IR rabbitmq.conf :
one
.I key = value
on a line. A # starts a comment; a value in single quotes may hold one. Of several equal keys the
last one counts. $(key) stands for the value of another key, $(NAME) for an environment variable.
Unknown keys and values that cannot be read stop the start, each named with file, line and the
nearest known key; nothing of a file is taken then.
.B mqd --check
prints every effective value with its origin, and what was given without effect with the reason.
.PP
Those named
.I *.config
hold Erlang terms, [{application,[{key,value},...]}, ...]. Each {key,value} replaces all that was
said of it before, as in RabbitMQ: {tcp_listen_options,[...]} every tcp_listen_options key.
.I rabbitmq.config
is read when there is no
.IR rabbitmq.conf .
Keys that RabbitMQ does not know are named as such and ignored, as RabbitMQ ignores them.
.PP
.B Encrypted values
are {encrypted,<<"...">>} in Erlang terms (mqctl encode) and encrypted:... in
.I rabbitmq.conf
(mqctl encrypt_conf_value). config_entry_decoder has the passphrase.
.PP
.I rabbitmq-env.conf
is a shell script that /bin/sh runs. It sets the variables below, with or without RABBITMQ_, and may
set limits with ulimit, which the process takes over. A file that sh refuses is read word by word
where every word is NAME=value or ulimit, with a warning that shows the corrected file.
.PP
.B SIGHUP
(systemctl reload) reads everything again. The log says what has changed, what of it counts from now
on and what needs a restart. A file that is wrong changes nothing.
.PP
.B RABBITMQ_CONFIG_FILE
names another main file, with or without its suffix; /etc/mqd/mqd.conf is not read then.
Users other than root who do not own /var/lib/mqd have their files in ~/.config/mqd.
.PP
Precedence, highest first: MQD_ variables, files, flags of RABBITMQ_SERVER_ERL_ARGS, RABBITMQ_
variables, rabbitmq-env.conf, defaults.
"""


def page() -> Iterator[str]:
    """The lines of the page."""
    yield _HEAD.rstrip("\n")
    yield ".SH KEYS"
    for key in schema().keys:
        if key.works:
            yield from _entry(key)
    yield ".SH KEYS WITHOUT EFFECT"
    yield "Files that use these keys of RabbitMQ load; what they say changes nothing, because"
    accepted = sorted((key for key in schema().keys if not key.works), key=_reason)
    for reason, keys in groupby(accepted, key=lambda key: key.reason):
        yield f".SS {_escaped(reason)}"
        names = [_escaped(key.name) for key in keys]
        yield from (f"{name}," for name in names[:-1])
        yield f"{names[-1]}."
    yield ".SH ENVIRONMENT"
    yield "Each as RABBITMQ_NAME or MQD_NAME, or as NAME=value in rabbitmq-env.conf."
    for name, doc in VARIABLES.items():
        yield f".TP\n.B {name}\n{_escaped(doc)}."
    yield "Without effect:"
    for name, reason in NO_EFFECT.items():
        yield f".TP\n.B {name}\n{_escaped(reason)}."
    yield ".SH SEE ALSO\n.BR mqd (8),\n.BR mqctl (8)"


def _reason(key: Key) -> tuple[str, str]:
    return key.reason, key.name


def _entry(key: Key) -> Iterator[str]:
    yield f".TP\n.B {_escaped(key.name)}"
    unit = f", {key.unit}" if key.unit else ""
    default = "" if key.default is None else f" Default: {_escaped(_shown(key))}{unit}."
    live = " Counts from a reload on." if key.live else ""
    yield f"{_escaped(key.doc)}. Value: {_escaped(key.kind.label)}.{default}{live}"


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
