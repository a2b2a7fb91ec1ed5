"""mqd-management(7), written from the table of routes.

Decides the page's layout only; `make man` writes man/mqd-management.7 with it, and a test compares
the two. Never imported by the daemon.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mqd.management.access import Need
from mqd.management.routes import ROUTES, Route

_HEAD = r""".TH MQD\-MANAGEMENT 7 "" "mqd" "Miscellaneous"
.SH NAME
mqd\-management \- the management HTTP API of mqd
.SH SYNOPSIS
.nf
mq\-plugins enable rabbitmq_management
curl \-u guest:guest http://localhost:15672/api/overview
.fi
.SH DESCRIPTION
The plugin rabbitmq_management serves the HTTP API of RabbitMQ 3.10 from when it is enabled until
it is disabled: paths, methods, JSON, status codes and words of errors are RabbitMQ's; what is
otherwise is in mqd\-differences(7). Each member of a cluster with the plugin answers for all
members. There are no pages yet: / says where the API is.
.PP
Names in paths are percent\-encoded; the virtual host / is %2F, the default exchange amq.default,
an empty routing key in a binding's key is ~. Requests and answers are JSON in UTF\-8; long
answers are compressed for who takes that.
.SH LISTENER
Port 15672 on all addresses, or what management.tcp.port and management.tcp.ip say (mqd.conf(5));
the older {rabbitmq_management,[{listener,[{port,15672}]}]} of classic files wins.
management.path_prefix stands before every path. Who enables the plugin where the port is taken is
told so, and a node that starts there runs without the plugin.
.SH LOGIN
HTTP Basic, with the users of the broker; guest from the machine itself alone, as with AMQP. A tag
lets in:
.TP
management
What the user could do by AMQP, in the virtual hosts where he has permissions; his own
connections.
.TP
policymaker
Policies and parameters of these virtual hosts as well.
.TP
monitoring
Connections and channels of all, nodes, numbers of all virtual hosts.
.TP
administrator
Everything.
.PP
Logins through the API are counted among the attempts of auth_attempts.
.SH QUERY PARAMETERS
.TP
page, page_size, name, use_regex
Of queues, exchanges, connections, channels, virtual hosts: a page (1 to 500 objects, 100 when it
is not said) of those whose name has that text, or matches that expression.
.TP
sort, sort_reverse
By a column, message_stats.publish say. Objects without it stand last.
.TP
columns
Names with commas, dots for what is inside: name,message_stats.publish_details.rate.
.TP
msg_rates_age, lengths_age, data_rates_age, node_stats_age, and each as _incr
History in seconds: adds avg, avg_rate and samples to every _details object, as far as it is kept.
.SH STATISTICS
While the plugin runs, totals are sampled every collect_statistics_interval (5 s): an hour is kept
of the node, the last five samples of each queue, connection and channel. A _details object has
the rate between the last two. Counts of a queue begin when it is declared or the node starts;
those of the overview and of virtual hosts when the plugin does. management.disable_stats leaves
all of it out.
.SH PATHS
Below /api; the word in brackets is what who asks needs.
"""

_WORDS = {
    Need.NOTHING: "nobody",
    Need.LOGIN: "management",
    Need.VHOST: "management, with permissions in the vhost",
    Need.VISIBLE: "management, with permissions in the vhost, or monitoring",
    Need.POLICYMAKER: "policymaker, with permissions in the vhost",
    Need.PARAMETERS: "policymaker",
    Need.MONITOR: "monitoring",
    Need.ADMINISTRATOR: "administrator",
}


def page() -> Iterator[str]:
    """The lines of the page."""
    yield _HEAD.rstrip("\n")
    by_path: dict[str, list[Route]] = {}
    for row in ROUTES:
        by_path.setdefault(row.path.removeprefix("/api"), []).append(row)
    for path, rows in sorted(by_path.items()):
        needs: dict[Need, list[str]] = {}
        for row in rows:
            needs.setdefault(row.need, []).append(row.method)
        told = [f"{', '.join(methods)} [{_WORDS[need]}]" for need, methods in needs.items()]
        yield f".TP\n.B {_escaped(path)}\n{_escaped('; '.join(told))}"
    yield (
        ".SH SEE ALSO\n.BR mqd (8),\n.BR mqd.conf (5),\n.BR mqd\\-differences (7),\n"
        ".BR mq\\-plugins (8)"
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")
