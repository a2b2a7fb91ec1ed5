"""The tutorial's sections on clusters, each as it is typed: C1 to C12 and D16 to D19.

Decides what is typed where and what has to be answered. A line that 3.10.8 answers otherwise on
purpose says so with a note. Nothing else is allowed to differ.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.bench.client import message
from tests.cluster.story.endings import ENDINGS
from tests.cluster.story.stage import DATA, NAMES, SERVICE, Stage, matches
from tests.cluster.story.typed import check, start_app, status, stop_app


def d16(stage: Stage) -> None:
    """status and cluster_status on the first node"""
    stage.fresh()
    stage.type("con1", f"systemctl status --no-pager {SERVICE}", "<lines>active (running)<lines>")
    stage.type("con1", "rabbitmqctl status", "Status of node rabbit@con1 ...<lines>")
    stage.type(
        "con1",
        "rabbitmqctl cluster_status",
        """\
Cluster status of node rabbit@con1 ...
<esc>[1mBasics<esc>[0m

Cluster name: rabbit@con1

<esc>[1mDisk Nodes<esc>[0m

rabbit@con1

<esc>[1mRunning Nodes<esc>[0m

rabbit@con1

<esc>[1mVersions<esc>[0m

rabbit@con1: RabbitMQ <any> on Erlang <any>

<esc>[1mMaintenance status<esc>[0m

Node: rabbit@con1, status: not under maintenance

<esc>[1mAlarms<esc>[0m

(none)

<esc>[1mNetwork Partitions<esc>[0m

(none)

<esc>[1mListeners<esc>[0m

Node: rabbit@con1, interface: [::], port: 25672, protocol: clustering, purpose: <any>
Node: rabbit@con1, interface: 172.16.254.60, port: 5672, protocol: amqp, purpose: <any>

<esc>[1mFeature flags<esc>[0m
<lines>""",
    )


def d17(stage: Stage) -> None:
    """the cookie, copied by hand; another one is refused"""
    stage.fresh()
    cookie = "/var/lib/rabbitmq/.erlang.cookie"
    stage.quietly("con2", f"rm -f {cookie}; systemctl start {SERVICE}")
    stage.type("con2", f"stat -c %a {cookie}", "400")
    stop_app(stage, "con2")
    said = stage.type("con2", "rabbitmqctl join_cluster --ram rabbit@con1", code=69)
    for host in ("con1", "con2"):
        secret = stage.quietly(host, f"cat {cookie}").strip()
        check(len(secret) >= 20, f"the cookie of {host} is short")
        check(secret not in said, f"the cookie of {host} is in the message")
    told = stage.quietly("con2", "rabbitmq-diagnostics -q erlang_cookie_hash").strip()
    check(told in said, f"no hash of con2's cookie ({told}) in {said}")
    stage.copy_cookie("con2")
    stage.type("con2", f"systemctl restart {SERVICE}")
    stop_app(stage, "con2")
    stage.type(
        "con2",
        "rabbitmqctl join_cluster --ram rabbit@con1",
        "Clustering node rabbit@con2 with rabbit@con1",
    )
    start_app(stage, "con2")


def d18(stage: Stage) -> None:
    """con2 and con3 join as ram nodes"""
    stage.fresh()
    stage.type("con1", "rabbitmqctl add_user openstack admin", 'Adding user "openstack" ...<lines>')
    for host in ("con2", "con3"):
        stage.type(host, f"systemctl restart {SERVICE}")
        stage.type(host, "rabbitmqctl add_user before pw", 'Adding user "before" ...<lines>')
        stop_app(stage, host)
        stage.type(
            host,
            "rabbitmqctl join_cluster --ram rabbit@con1",
            f"Clustering node rabbit@{host} with rabbit@con1",
        )
        start_app(stage, host)
        said = stage.type(host, "rabbitmqctl -q list_users")
        check("openstack" in said and "before" not in said, f"users of {host}: {said}")


def d19(stage: Stage) -> None:
    """cluster_status as the tutorial prints it"""
    stage.fresh(con2="ram", con3="ram")
    said = stage.type("con1", "rabbitmqctl cluster_status --formatter erlang")
    check(
        matches(
            """\
Cluster status of node rabbit@con1 ...
[{nodes,[{disc,[rabbit@con1]},{ram,[rabbit@con3,rabbit@con2]}]},
 {running_nodes,[rabbit@con3,rabbit@con2,rabbit@con1]},
 {cluster_name,<<"rabbit@con1">>},
 {partitions,[]},
 {alarms,[{rabbit@con3,[]},{rabbit@con2,[]},{rabbit@con1,[]}]},
 {listeners,<lines>""",
            said,
        ),
        said,
    )


def c1(stage: Stage) -> None:
    """a cluster has ram nodes and disc nodes"""
    stage.fresh(con2="ram", con3="ram")
    said = stage.type("con2", "rabbitmqctl cluster_status")
    wanted = """\
<lines><esc>[1mDisk Nodes<esc>[0m

rabbit@con1

<esc>[1mRAM Nodes<esc>[0m

rabbit@con2
rabbit@con3

<esc>[1mRunning Nodes<esc>[0m

rabbit@con1
rabbit@con2
rabbit@con3

<lines>"""
    check(matches(wanted, said), said)
    told = status(stage, "con3")
    check(told["disk_nodes"] == ["rabbit@con1"], f"{told['disk_nodes']}")
    check(sorted(told["ram_nodes"]) == ["rabbit@con2", "rabbit@con3"], f"{told['ram_nodes']}")


def c2(stage: Stage) -> None:
    """a ram node keeps no metadata on its disc, and fetches it again"""
    stage.fresh(con2="ram")
    stage.type("con1", "rabbitmqctl add_user whereisit pw", 'Adding user "whereisit" ...<lines>')
    stage.type("con1", "grep -rlq whereisit " + DATA)
    stage.type("con2", "grep -rlq whereisit " + DATA, code=1)
    stage.type("con2", f"systemctl kill -s KILL {SERVICE}", code=(0, 1))
    stage.type("con2", "grep -rlq whereisit " + DATA, code=1)
    stage.type("con2", f"systemctl stop {SERVICE}; systemctl start {SERVICE}")
    check("whereisit" in stage.type("con2", "rabbitmqctl -q list_users"), "not fetched again")


def c3(stage: Stage) -> None:
    """a node alone is a disc node"""
    stage.fresh()
    stop_app(stage, "con1")
    stage.type(
        "con1",
        "rabbitmqctl change_cluster_node_type ram",
        "Turning rabbit@con1 into a ram node",
        err="Error:\n{:not_clustered, 'Non-clustered nodes can only be disc nodes.'}",
        code=69,
    )
    start_app(stage, "con1")
    check(status(stage, "con1")["disk_nodes"] == ["rabbit@con1"], "no disc node any more")


def c4(stage: Stage) -> None:
    """a declaration is answered when every node has it"""
    stage.fresh(con2="ram", con3="disc")
    writers = {host: stage.client(host) for host in NAMES}
    for at in range(60):
        writer = writers[NAMES[at % 3]]
        writer.declare(f"c4-{at}", durable=True)
        for client in writers.values():
            client.call("queue.declare", queue=f"c4-{at}", passive=True)


def c5(stage: Stage) -> None:
    """temporary queues on a ram node and on a disc node"""
    stage.fresh(con2="ram", con3="disc")
    for host in ("con2", "con3"):
        client = stage.client(host)
        for _ in range(50):
            client.declare("c5", exclusive=True)
            client.call("queue.delete", queue="c5")


def c6(stage: Stage) -> None:
    """one disc node brings all back after a full restart"""
    stage.fresh(con2="ram", con3="ram")
    stage.type("con2", "rabbitmqctl add_user kept pw", 'Adding user "kept" ...<lines>')
    stage.type("con2", "rabbitmqctl add_vhost keptv", 'Adding vhost "keptv" ...')
    stage.type("con3", """rabbitmqctl -q set_policy keptp ^k '{"max-length":9}'""")
    client = stage.client("con1")
    client.call("exchange.declare", exchange="keptx", type="direct", durable=True)
    client.declare("keptq", durable=True)
    client.call("queue.bind", queue="keptq", exchange="keptx", routing_key="k")
    for host in ("con3", "con2", "con1"):
        stage.type(host, f"systemctl stop {SERVICE}")
    for host in NAMES:
        stage.type(host, f"systemctl start {SERVICE}")
    for host in NAMES:
        for verb, word in (
            ("list_users", "kept\t"),
            ("list_vhosts", "keptv"),
            ("list_policies", "keptp"),
            ("list_exchanges", "keptx"),
            ("list_queues", "keptq"),
            ("list_bindings", "keptx"),
        ):
            said = stage.type(host, f"rabbitmqctl -q {verb}")
            check(word in said, f"{verb} on {host}: {said}")


def c7(stage: Stage) -> None:
    """one disc node is enough"""
    stage.fresh(con2="ram", con3="ram")
    publisher, consumer = stage.client("con2"), stage.client("con3")
    publisher.declare("c7", durable=True)
    publisher.call("confirm.select")
    publisher.write(message("c7", b"x" * 10))
    publisher.wait("basic.ack")
    consumer.send("basic.get", queue="c7", no_ack=True)
    consumer.wait("basic.get-ok")


def c8(stage: Stage) -> None:
    """who joins or leaves tells a disc node, or nothing happens"""
    stage.fresh(con2="ram", con3="ram")
    stop_app(stage, "con3")
    stage.type("con1", f"systemctl stop {SERVICE}")
    if stage.target == "mqd":
        stage.note("C8: a ram node alone cannot let another one go (3.10.8 does, and forgets it)")
        for host, verb in (("con3", "reset"), ("con2", "forget_cluster_node rabbit@con3")):
            said = stage.type(host, f"rabbitmqctl {verb}", code=(69, 70))
            check("disc node" in said and "rabbit@con1" in said, f"no reason: {said}")
    stage.type("con1", f"systemctl start {SERVICE}")
    start_app(stage, "con3")
    told = status(stage, "con1")
    check(sorted(told["ram_nodes"]) == ["rabbit@con2", "rabbit@con3"], f"{told['ram_nodes']}")


def c9(stage: Stage) -> None:
    """without a disc node metadata is not to be changed"""
    stage.fresh(con2="ram", con3="ram")
    client = stage.client("con2")
    client.declare("c9old", durable=True)
    stage.type("con1", f"systemctl stop {SERVICE}")
    if stage.target == "mqd":
        stage.note("C9: a ram node alone refuses durable changes (3.10.8 may lose them)")
        said = stage.type("con2", "rabbitmqctl add_user lost pw", code=(69, 70))
        check("disc" in said, f"the refusal gives no reason: {said}")
    client.call("queue.declare", queue="c9old", passive=True)
    stage.type("con1", f"systemctl start {SERVICE}")
    check("lost" not in stage.type("con1", "rabbitmqctl -q list_users"), "half a change")


def c10(stage: Stage) -> None:
    """nodes join and leave with all disc nodes there"""
    stage.fresh(con2="disc")
    stage.quietly("con3", f"systemctl start {SERVICE}")
    stage.type("con2", f"systemctl stop {SERVICE}")
    stop_app(stage, "con3")
    said = stage.type("con3", "rabbitmqctl join_cluster rabbit@con1", code=(0, 69, 70))
    stage.tell(f"  {said.strip()}")
    refused = "Error" in said
    if refused:
        check("rabbit@con2" in said, f"the missing disc node is not named: {said}")
    stage.type("con2", f"systemctl start {SERVICE}")
    if refused:
        stage.type("con3", "rabbitmqctl join_cluster rabbit@con1")
    start_app(stage, "con3")
    told = status(stage, "con1")
    check(sorted(told["disk_nodes"]) == [f"rabbit@{host}" for host in NAMES], f"{told}")


def c11(stage: Stage) -> None:
    """a ram node fetches the metadata from a disc node when it starts"""
    stage.fresh(con2="ram")
    stage.type("con2", f"systemctl restart {SERVICE}")
    if stage.target == "mqd":
        log = stage.log("con2")
        check("rabbit@con1" in log, f"the log does not name the disc node: {log[-2000:]}")


def c12(stage: Stage) -> None:
    """a ram node remembers all disc nodes"""
    stage.fresh(con2="disc", con3="ram")
    stage.type("con3", f"systemctl stop {SERVICE}")
    stage.type("con1", f"systemctl stop {SERVICE}")
    stage.type("con3", f"systemctl start {SERVICE}")
    told = status(stage, "con3")
    check(sorted(told["running_nodes"]) == ["rabbit@con2", "rabbit@con3"], f"{told}")
    stage.type("con2", f"systemctl stop {SERVICE}")
    stage.type("con3", f"systemctl stop {SERVICE}")
    stage.type("con3", f"systemctl start --no-block {SERVICE}")
    stage.type("con3", "grep -rhE 'con1.*con2|con2.*con1' /var/log/rabbitmq/", again_s=90)
    stage.type("con3", "rabbitmqctl -q list_users", code=(64, 69))
    for host in ("con2", "con1"):
        stage.type(host, f"systemctl start {SERVICE}")
    stage.type("con3", "rabbitmqctl await_startup", again_s=60)
    told = status(stage, "con1")
    check(len(told["running_nodes"]) == 3, f"{told['running_nodes']}")


SECTIONS: dict[str, Callable[[Stage], None]] = {
    "D16": d16,
    "D17": d17,
    "D18": d18,
    "D19": d19,
    "C1": c1,
    "C2": c2,
    "C3": c3,
    "C4": c4,
    "C5": c5,
    "C6": c6,
    "C7": c7,
    "C8": c8,
    "C9": c9,
    "C10": c10,
    "C11": c11,
    "C12": c12,
    **ENDINGS,
}
