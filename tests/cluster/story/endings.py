"""Changing types, leaving, being thrown out, and starting again: F2 to F4 and G1 to G3.

Decides what is typed where and what has to be answered, as `sections` does.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.story.stage import DATA, NAMES, SERVICE, Stage
from tests.cluster.story.typed import ONLY_DISC, check, start_app, status, stop_app

RUNNING = (
    "Error: this command requires the 'rabbit' app to be stopped on the target node. Stop it with "
    "'rabbitmqctl stop_app'.<lines>"
)


def f2(stage: Stage) -> None:
    """a ram node becomes a disc node, and a disc node a ram node"""
    stage.fresh(con2="ram", con3="ram")
    stage.type("con2", "rabbitmqctl change_cluster_node_type disc", "", err=RUNNING, code=64)
    stop_app(stage, "con2")
    stage.type(
        "con2",
        "rabbitmqctl change_cluster_node_type disc",
        "Turning rabbit@con2 into a disc node",
    )
    start_app(stage, "con2")
    told = status(stage, "con3")
    check(sorted(told["disk_nodes"]) == ["rabbit@con1", "rabbit@con2"], f"{told['disk_nodes']}")
    stop_app(stage, "con2")
    stage.type(
        "con2",
        "rabbitmqctl change_cluster_node_type disc",
        "Turning rabbit@con2 into a disc node\nNode type is already disc",
    )
    stage.type("con2", "rabbitmqctl change_cluster_node_type other", code=65)
    stage.type(
        "con2", "rabbitmqctl change_cluster_node_type ram", "Turning rabbit@con2 into a ram node"
    )
    start_app(stage, "con2")
    told = status(stage, "con1")
    check(sorted(told["ram_nodes"]) == ["rabbit@con2", "rabbit@con3"], f"{told['ram_nodes']}")
    stop_app(stage, "con1")
    stage.type(
        "con1",
        "rabbitmqctl change_cluster_node_type ram",
        "Turning rabbit@con1 into a ram node",
        err=ONLY_DISC,
        code=69,
    )
    start_app(stage, "con1")


def f3(stage: Stage) -> None:
    """a node leaves by itself"""
    stage.fresh(con2="disc", con3="ram")
    stage.type("con1", "rabbitmqctl add_user there pw", 'Adding user "there" ...<lines>')
    for host in ("con2", "con3"):
        stop_app(stage, host)
        stage.type(host, "rabbitmqctl reset", f"Resetting node rabbit@{host} ...")
        start_app(stage, host)
        told = status(stage, host)
        check(told["disk_nodes"] == [f"rabbit@{host}"], f"{told['disk_nodes']}")
        stage.type(host, "rabbitmqctl -q list_users", "user\ttags\nguest\t[administrator]")
        check(f"rabbit@{host}" not in str(status(stage, "con1")), f"{host} is still listed")
    # without a disc node to tell
    stage.fresh(con2="disc")
    stop_app(stage, "con2")
    stage.type("con1", f"systemctl stop {SERVICE}")
    stage.type("con2", "rabbitmqctl reset", "Resetting node rabbit@con2 ...", code=69)
    stage.type("con2", "rabbitmqctl force_reset", "Forcefully resetting node rabbit@con2 ...")
    start_app(stage, "con2")


def f4(stage: Stage) -> None:
    """a node is thrown out by another"""
    stage.fresh(con2="disc", con3="disc")
    stage.type(
        "con1",
        "rabbitmqctl forget_cluster_node rabbit@con3",
        "Removing node rabbit@con3 from the cluster",
        err="Error:\nRabbitMQ on node rabbit@con3 must be stopped with 'rabbitmqctl -n rabbit@con3 "
        "stop_app' before it can be removed",
        code=69,
    )
    stop_app(stage, "con3")
    stage.type(
        "con1",
        "rabbitmqctl forget_cluster_node rabbit@con3",
        "Removing node rabbit@con3 from the cluster",
    )
    for host in ("con1", "con2"):
        check("con3" not in str(status(stage, host)), f"{host} still lists it")
    stage.type(
        "con3",
        "rabbitmqctl start_app",
        "Starting node rabbit@con3 ...",
        err="Error:\n{:rabbit, {{:inconsistent_cluster, 'Node rabbit@con3 thinks it\\'s clustered "
        "with node <word>, but <word> disagrees'}, {:rabbit, :start, [:normal, []]}}}",
        code=69,
    )
    stage.type("con3", "rabbitmqctl reset", "Resetting node rabbit@con3 ...")
    start_app(stage, "con3")
    check(status(stage, "con3")["disk_nodes"] == ["rabbit@con3"], "con3 is not on its own")
    # forgotten while its daemon was down
    stage.type("con2", f"systemctl stop {SERVICE}")
    stage.type(
        "con1",
        "rabbitmqctl forget_cluster_node rabbit@con2",
        "Removing node rabbit@con2 from the cluster",
    )
    if stage.target == "mqd":
        stage.note("F4: the daemon of a forgotten node comes up far enough for reset")
        stage.type("con2", f"systemctl start {SERVICE}", code=(0, 1))
        stage.type("con2", "rabbitmqctl reset", "Resetting node rabbit@con2 ...", again_s=20)
        start_app(stage, "con2")
    else:
        stage.type("con2", f"systemctl start {SERVICE}", code=1)
        stage.type("con2", f"systemctl stop {SERVICE}; rm -rf {DATA}/*")
        stage.type("con2", f"systemctl start {SERVICE}")
    told = status(stage, "con2")
    check(told["disk_nodes"] == ["rabbit@con2"], f"{told['disk_nodes']}")
    # and back under its name
    stop_app(stage, "con2")
    stage.type("con2", "rabbitmqctl join_cluster rabbit@con1")
    start_app(stage, "con2")
    told = status(stage, "con1")
    check(sorted(told["running_nodes"]) == ["rabbit@con1", "rabbit@con2"], f"{told}")


def g1(stage: Stage) -> None:
    """keep a disc node"""
    stage.fresh(con2="ram", con3="ram")
    for verb, banner in (
        ("change_cluster_node_type ram", "Turning rabbit@con1 into a ram node"),
        ("reset", "Resetting node rabbit@con1 ..."),
    ):
        stop_app(stage, "con1")
        stage.type("con1", f"rabbitmqctl {verb}", banner, err=ONLY_DISC, code=69)
        start_app(stage, "con1")
    if stage.target == "mqd":
        stage.note("G1: mqctl doctor warns of an only disc node")
        said = stage.type("con1", "mqctl doctor", code=(0, 1, 69, 70))
        check("disc node" in said, f"no warning of an only disc node: {said}")


def g2(stage: Stage) -> None:
    """the last node that was stopped starts first"""
    stage.fresh(con2="disc", con3="disc")
    client = stage.client("con1")
    client.declare("g2", durable=True)
    order = ("con1", "con2", "con3")
    for host in order:  # the last one first
        stage.type(host, f"systemctl stop {SERVICE}")
    for host in reversed(order):
        stage.type(host, f"systemctl start {SERVICE}")
    stage.type("con1", "rabbitmqctl await_online_nodes 3")
    for host in order:  # another one first: it waits, and names whom it waits for
        stage.type(host, f"systemctl stop {SERVICE}")
    stage.type("con1", f"systemctl start --no-block {SERVICE}")
    if stage.target == "mqd":
        waits = "grep -rhE 'aiting.*rabbit@con3|rabbit@con3.*aiting' /var/log/rabbitmq/"
        stage.type("con1", waits, again_s=60)
    stage.type("con1", "rabbitmqctl -q list_users", code=(64, 69))
    stage.type("con3", f"systemctl start {SERVICE}")
    stage.type("con2", f"systemctl start {SERVICE}")
    stage.type("con1", "rabbitmqctl await_startup", again_s=60)
    stage.type("con1", "rabbitmqctl await_online_nodes 3")
    for host in order:
        stage.type(host, "rabbitmqctl -q list_queues name", "name\ng2")
    # the last one is lost
    for host in order:
        stage.type(host, f"systemctl stop {SERVICE}")
    stage.lab.do("cut-power", "con3")
    stage.type(
        "con2",
        "rabbitmqctl forget_cluster_node --offline rabbit@con3",
        "Removing node rabbit@con3 from the cluster. Warning: quorum queues cannot be shrunk in "
        "offline mode<lines>",
    )
    # RabbitMQ's own name is taken for a moment yet by the tool that stood in for it.
    stage.type("con2", f"systemctl start {SERVICE}", again_s=20)
    stage.type("con1", f"systemctl start {SERVICE}")
    told = status(stage, "con2")
    check("con3" not in str(told), f"{told}")
    check(sorted(told["running_nodes"]) == ["rabbit@con1", "rabbit@con2"], f"{told}")
    stage.lab.do("boot", "con3")


def g3(stage: Stage) -> None:
    """a power cut takes all at once: one is forced to boot"""
    stage.fresh(con2="disc", con3="disc")
    client = stage.client("con1")
    client.declare("g3", durable=True)
    stage.type("con1", "rabbitmqctl add_user g3user pw", 'Adding user "g3user" ...<lines>')
    stage.quietly("con1", "sync")
    for host in NAMES:
        stage.lab.do("cut-power", host)
    for host in NAMES:
        stage.lab.do("boot", host)
    stage.type("con1", "rabbitmqctl force_boot")
    stage.type("con1", f"systemctl start {SERVICE}")
    told = status(stage, "con1")
    check(told["running_nodes"] == ["rabbit@con1"], f"{told['running_nodes']}")
    check(len(told["disk_nodes"]) == 3, f"{told['disk_nodes']}")
    for host in ("con2", "con3"):
        stage.type(host, f"systemctl start {SERVICE}")
    stage.type("con1", "rabbitmqctl await_online_nodes 3")
    for host in NAMES:
        stage.type(host, "rabbitmqctl -q list_queues name", "name\ng3")
        check("g3user" in stage.type(host, "rabbitmqctl -q list_users"), f"{host} lost a user")


ENDINGS: dict[str, Callable[[Stage], None]] = {
    "F2": f2,
    "F3": f3,
    "F4": f4,
    "G1": g1,
    "G2": g2,
    "G3": g3,
}
