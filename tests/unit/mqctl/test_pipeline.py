"""From command line to streams and exit code, against a node that answers from a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mqd.rpc.v1 import (
    cluster_pb2,
    connections_pb2,
    diagnostics_pb2,
    nodes_pb2,
    permissions_pb2,
    queues_pb2,
    quorum_queues_pb2,
    users_pb2,
    values_pb2,
)
from tests.unit.mqctl.fake_node import FakeNode, call, refuse

USAGE = "\n\x1b[1mUsage\x1b[0m\n\nmqctl "
RUNNING = nodes_pb2.ProbeReply(app=nodes_pb2.APP_STATE_RUNNING, pid=1)


def done(*_: object) -> values_pb2.Done:
    return values_pb2.Done()


def running(fake: FakeNode) -> None:
    fake.answer("Nodes/Probe", nodes_pb2.ProbeRequest, lambda *_: RUNNING)


def users(fake: FakeNode, *rows: users_pb2.UserRow) -> None:
    batches = [users_pb2.UserRows(rows=rows)] if rows else []
    fake.answer("Users/List", users_pb2.ListUsers, lambda *_: iter(batches), stream=True)


GUEST = users_pb2.UserRow(user="guest", tags=["administrator"])


# -- usage ----------------------------------------------------------------------------------


def test_nothing_at_all_is_usage_on_stderr() -> None:
    for argv in ([], ["-q"], ["--bad"], ["-n"]):
        outcome = call(*argv)
        assert (outcome.code, outcome.out) == (64, "")
        assert outcome.err.startswith(USAGE)


def test_help_is_usage_on_stdout() -> None:
    assert call("help").out == call("--help").out
    assert call("help").out.startswith(USAGE)
    assert call("help", "list_queues").code == 0
    assert call("list_queues", "--help").out == call("help", "list_queues").out + ""


def test_unknown_verbs() -> None:
    near = call("list_user")
    assert near.err == "\nCommand 'list_user' not found. \nDid you mean 'list_users'? \n\n"
    far = call("zzzzzzzzzzzz")
    assert far.err.startswith(f"\nCommand 'zzzzzzzzzzzz' not found. \n{USAGE}")
    assert (near.code, far.code) == (64, 64)
    asked = call("help", "nosuch", tool="mq-diagnostics")
    assert (asked.code, asked.err) == (64, "Error:\n\nCommand 'nosuch' not found.\n")


def test_bad_options_name_every_one() -> None:
    outcome = call("add_user", "nodash", "-pw2")
    assert outcome.code == 64
    assert outcome.err.startswith(
        "Error (argument validation): Invalid options for this command:\n-p : \n-w : \n"
        f"Arguments given:\n\tadd_user nodash -pw2\n{USAGE}"
    )


@pytest.mark.parametrize(
    ("argv", "code", "detail"),
    [
        (["add_user"], 64, "not enough arguments."),
        (["add_user", "a", "b", "c"], 64, "too many arguments."),
        (["add_user", "", "x"], 65, "Bad argument: user cannot be an empty string"),
        (["list_users", "x"], 64, "too many arguments."),
        (["list_queues", "b", "a", "name"], 64, "Info key(s) a,b are not supported"),
        (["status", "--unit", "x"], 64, "\"unit 'x' is not supported. "),
        (["await_online_nodes", "x"], 65, "Bad argument: Argument must be a positive integer"),
        (["set_disk_free_limit", "x"], 65, "Bad argument."),
        (["set_vm_memory_high_watermark", "1.5"], 65, "Bad argument: The threshold should be a "),
        (["wait"], 64, '"No pid or pidfile specified"'),
        (["shutdown", "-n", "a@elsewhere"], 64, "\nThis command can only --wait for "),
        (["list_users", "--formatter", "json", "--no-table-headers"], 64, "Invalid options"),
    ],
)
def test_refused_before_any_connection(argv: list[str], code: int, detail: str) -> None:
    outcome = call(*argv)
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith(f"Error (argument validation): {detail}"), outcome
    assert f"Arguments given:\n\t{' '.join(argv)}\n{USAGE}" in outcome.err


def test_values_that_crash_the_mirrored_tool() -> None:
    assert (call("await_online_nodes", "0").code, call("await_online_nodes", "0").err) == (
        70,
        '{:case_clause, {0, ""}}\n\n',
    )
    assert (call("-t", "-5", "list_vhosts").code, call("-t", "-5", "list_vhosts").err) == (
        70,
        ":badarg\n\n",
    )
    assert call("list_users", "--formatter", "nosuch").code == 1


def test_log_levels_are_no_usage_error() -> None:
    outcome = call("set_log_level", "bogus")
    assert (outcome.code, outcome.err.splitlines()[0]) == (69, "Error:")


# -- listings -------------------------------------------------------------------------------


def test_formats_of_a_listing(fake: FakeNode) -> None:
    users(fake, users_pb2.UserRow(user="bob"), GUEST)
    banner = "Listing users ...\n"
    assert call("list_users").out == f"{banner}user\ttags\nbob\t[]\nguest\t[administrator]\n"
    assert call("-q", "list_users").out == "user\ttags\nbob\t[]\nguest\t[administrator]\n"
    assert call("-s", "list_users").out == "bob\t[]\nguest\t[administrator]\n"
    assert (
        call("list_users", "--no-table-headers").out == f"{banner}bob\t[]\nguest\t[administrator]\n"
    )
    assert call("list_users", "--formatter", "csv").out == (
        '"user","tags"\n"bob","[]"\n"guest","[administrator]"\n'
    )
    assert call("list_users", "--formatter", "json").out == (
        '[\n{"user":"bob","tags":[]}\n,{"user":"guest","tags":["administrator"]}\n]\n'
    )
    assert call("list_users", "--formatter", "erlang").out == (
        f'{banner}[[{{user,<<"bob">>}},{{tags,[]}}],[{{user,<<"guest">>}},{{tags,[administrator]}}]]\n'
    )
    assert call("list_users", "--formatter", "json_stream").out.startswith(
        '{"user":"bob","tags":[]}\n\n'
    )
    assert call("list_users", "--formatter", "string").out == (
        f'{banner}[user: "bob", tags: []]\n[user: "guest", tags: [:administrator]]\n'
    )


def test_columns_in_the_order_asked_for(fake: FakeNode) -> None:
    rows = queues_pb2.QueueRows(rows=[queues_pb2.QueueRow(name="q", messages=3)])
    fake.answer("Queues/List", queues_pb2.ListQueues, lambda *_: iter([rows]), stream=True)
    outcome = call("-q", "list_queues", "messages,owner_pid", "name", "name")
    assert outcome.out == "messages\towner_pid\tname\n3\t\tq\n"
    assert list(fake.requests[-1].columns) == ["messages", "owner_pid", "name"]
    assert call("list_queues").out.startswith(
        "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\n"
    )
    assert list(fake.requests[-1].columns) == ["name", "messages"]


def test_empty_listings(fake: FakeNode) -> None:
    users(fake)
    fake.answer("Queues/List", queues_pb2.ListQueues, lambda *_: iter(()), stream=True)
    assert call("-q", "list_users").out == "\n"  # gathered on the node
    assert call("list_users", "--formatter", "json").out == "[]\n"
    assert call("-q", "list_queues").out == ""  # streamed
    assert call("list_queues", "--formatter", "json").out == "[\n]\n"
    assert call("-q", "list_queues", "--formatter", "erlang").out == "[]\n"


def test_addresses_are_tuples_to_programs(fake: FakeNode) -> None:
    row = connections_pb2.ConnectionRow(host="127.0.0.1", port=5672)
    rows = connections_pb2.ConnectionRows(rows=[row])
    fake.answer(
        "Connections/List", connections_pb2.ListConnections, lambda *_: iter([rows]), stream=True
    )
    assert call("-s", "list_connections", "host", "port").out == "127.0.0.1\t5672\n"
    json = call("list_connections", "host", "--formatter", "json").out
    assert json == '[\n{"host":[127,0,0,1]}\n]\n'


def test_a_listing_that_fails_on_the_way(fake: FakeNode) -> None:
    def rows(_request: Any, context: Any) -> Any:
        yield users_pb2.UserRows(rows=[GUEST])
        refuse(context, "INTERNAL", "it broke")

    fake.answer("Users/List", users_pb2.ListUsers, rows, stream=True)
    outcome = call("-s", "list_users")
    assert (outcome.code, outcome.out, outcome.err) == (
        70,
        "guest\t[administrator]\n",
        "Error:\nit broke\n",
    )


# -- changes --------------------------------------------------------------------------------


def test_closing_words(fake: FakeNode) -> None:
    fake.answer("Users/Add", users_pb2.AddUser, done)
    words = "Done. Don't forget to grant the user permissions to some virtual hosts! "
    assert call("add_user", "bob", "pw").out.startswith(f'Adding user "bob" ...\n{words}')
    assert call("-q", "add_user", "bob", "pw").out == ""
    json = call("add_user", "bob", "pw", "--formatter", "json").out
    assert json.startswith('{"message":"Done. ')
    assert json.endswith(',"node":"fake@localhost","status":"ok"}\n')


def test_success_without_words(fake: FakeNode) -> None:
    fake.answer("Users/Delete", users_pb2.DeleteUser, done)
    assert call("delete_user", "bob").out == 'Deleting user "bob" ...\n'
    assert call("delete_user", "b", "--formatter", "json").out == (
        '{"node":"fake@localhost","result":"ok"}\n'
    )
    assert call("delete_user", "b", "--formatter", "csv").out == ""


def test_refusals_in_the_verbs_own_words(fake: FakeNode) -> None:
    def exists(_request: Any, context: Any) -> Any:
        refuse(context, "ALREADY_EXISTS")

    def nobody(_request: Any, context: Any) -> Any:
        refuse(context, "NO_SUCH_USER", '{:no_such_user, "bob"}')

    fake.answer("Users/Add", users_pb2.AddUser, exists)
    fake.answer("Users/Delete", users_pb2.DeleteUser, nobody)
    fake.answer("Users/ClearPassword", users_pb2.ClearPasswordRequest, nobody)
    fake.answer("Permissions/Set", permissions_pb2.SetPermissions, nobody)
    add = call("add_user", "bob", "pw")
    assert (add.code, add.out, add.err) == (
        70,
        'Adding user "bob" ...\n',
        'Error:\nUser "bob" already exists\n',
    )
    json = call("add_user", "bob", "pw", "--formatter", "json")
    assert (json.code, json.err) == (
        69,
        '{"message":"User bob already exists","node":"fake@localhost","result":"error"}\n',
    )
    delete = call("-q", "delete_user", "bob")
    assert (delete.code, delete.err) == (67, 'Error:\nUser "bob" does not exist\n')
    clear = call("-q", "clear_password", "bob")
    assert (clear.code, clear.err) == (69, 'Error:\n{:no_such_user, "bob"}\n')
    grant = call("-q", "set_permissions", "bob", ".", ".", ".")
    assert (grant.code, grant.err) == (67, "Error:\nUser bob does not exist\n")


def test_a_missing_vhost_has_no_error_line(fake: FakeNode) -> None:
    def missing(_request: Any, context: Any) -> Any:
        refuse(context, "NO_SUCH_VHOST")
        yield

    fake.answer("Permissions/List", permissions_pb2.ListPermissions, missing, stream=True)
    outcome = call("list_permissions", "-p", "nosuch")
    assert (outcome.code, outcome.out, outcome.err) == (
        65,
        'Listing permissions for vhost "nosuch" ...\n',
        "Virtual host 'nosuch' does not exist\n",
    )


def test_conditions_of_delete_queue(fake: FakeNode) -> None:
    fake.answer(
        "Queues/Delete",
        queues_pb2.DeleteQueue,
        lambda *_: queues_pb2.DeleteQueueReply(message_count=2),
    )
    outcome = call("delete_queue", "q", "-e", "-u", "-p", "v")
    assert outcome.out == (
        "Deleting queue 'q' on vhost 'v' if queue is empty and if queue is unused ...\n"
        "Queue was successfully deleted with 2 ready messages\n"
    )
    request = fake.requests[-1]
    assert (request.vhost, request.if_empty, request.if_unused) == ("v", True, True)


# -- passwords ------------------------------------------------------------------------------


def test_a_password_from_standard_input(fake: FakeNode) -> None:
    running(fake)
    fake.answer("Users/Add", users_pb2.AddUser, done)
    outcome = call("add_user", "bob", stdin="  secret \nmore\n")
    assert outcome.out.startswith('Adding user "bob" ...\nPassword: \nDone. ')
    assert fake.requests[-1].password == "secret"
    assert call("-q", "add_user", "bob", stdin="x").out == ""


def test_no_password_at_all(fake: FakeNode) -> None:
    running(fake)
    add, change = call("add_user", "bob"), call("change_password", "bob")
    assert (add.code, add.out) == (65, 'Adding user "bob" ...\nPassword: \n')
    assert add.err == "Error:\nPassword is not provided via argument or stdin\n"
    assert change.code == 70


# -- the node's state -----------------------------------------------------------------------


def test_a_stopped_application_prints_no_banner(fake: FakeNode) -> None:
    fake.refuse("Users/List", "APP_STOPPED")
    outcome = call("list_users")
    assert (outcome.code, outcome.out) == (64, "")
    assert outcome.err.startswith(
        "Error: this command requires the 'rabbit' app to be running on the target node. Start it "
        f"with 'rabbitmqctl start_app'.\nArguments given:\n\tlist_users\n{USAGE}"
    )


def test_a_running_application_where_it_must_not(fake: FakeNode) -> None:
    fake.refuse("Nodes/Reset", "APP_RUNNING")
    outcome = call("reset")
    assert (outcome.code, outcome.out) == (64, "")
    assert "requires the 'rabbit' app to be stopped" in outcome.err


def test_dry_run_checks_and_does_nothing(fake: FakeNode) -> None:
    running(fake)
    outcome = call("delete_user", "bob", "--dry-run")
    assert (outcome.code, outcome.out) == (0, 'Deleting user "bob" ...\n')
    assert [type(request) for request in fake.requests] == [nodes_pb2.ProbeRequest]


@pytest.mark.usefixtures("run_dir")
def test_nobody_answers() -> None:
    down = call("list_queues")
    assert (down.code, down.out) == (69, "")
    assert down.err.startswith("Error: unable to perform an operation on node 'fake@localhost'.")
    assert "fake@localhost.sock" in down.err
    assert call("-n", "other", "stop_app").out.startswith(
        "Stopping rabbit application on node other@"
    )
    ping = call("ping")
    assert (ping.code, ping.err) == (
        69,
        "Error:\nFailed to connect and authenticate to fake@localhost in 60000 ms\n",
    )
    assert call("await_startup").code == 69
    assert call("stop", "--idempotent").out.endswith("Node fake@localhost is no longer running\n")


def test_a_wrong_cookie_looks_like_a_node_that_is_down(fake: FakeNode) -> None:
    fake.refuse("Users/List", "ACCESS_REFUSED", "cookie")
    outcome = call("list_users")
    assert (outcome.code, outcome.out) == (69, "")
    assert outcome.err.startswith("Error: unable to perform an operation on node")
    assert "refused this tool's cookie" in outcome.err


def test_the_cookie_travels_as_a_hash(fake: FakeNode, tmp_path: Path) -> None:
    from hashlib import sha256

    users(fake, GUEST)
    call("list_users", "--erlang-cookie", "SECRET")
    sent = fake.metadata[-1]
    assert sent["mqd-cookie-hash"] == sha256(b"SECRET").hexdigest()
    assert "SECRET" not in str(sent)


def test_no_time_at_all(fake: FakeNode) -> None:
    users(fake, GUEST)
    outcome = call("list_users", "-t", "0")
    assert (outcome.code, outcome.out, outcome.err) == (
        75,
        "",
        "Error: operation list_users on node fake@localhost timed out. Timeout value used: 0\n",
    )


def test_a_deadline_that_passes(fake: FakeNode) -> None:
    def slow(_request: Any, context: Any) -> Any:
        import threading

        stopped = threading.Event()
        context.add_callback(stopped.set)
        stopped.wait(10)
        return values_pb2.Done()

    fake.answer("Users/Delete", users_pb2.DeleteUser, slow)
    fake.answer("Cluster/AwaitOnlineNodes", cluster_pb2.AwaitOnlineNodesRequest, slow)
    outcome = call("-q", "delete_user", "bob", "-t", "1")
    assert (outcome.code, outcome.err) == (
        75,
        "Error: operation delete_user on node fake@localhost timed out. Timeout value used: 1000\n",
    )
    waited = call("await_online_nodes", "2", "-t", "1")
    assert (waited.code, waited.err) == (
        70,
        "Error:\nError: timed out while waiting. Not enough nodes joined "
        "fake@localhost's cluster.\n",
    )


# -- health checks --------------------------------------------------------------------------


def alarms(fake: FakeNode, *found: diagnostics_pb2.Alarm) -> None:
    fake.answer(
        "Diagnostics/Alarms",
        diagnostics_pb2.AlarmsRequest,
        lambda *_: diagnostics_pb2.AlarmsReply(alarms=found),
    )


def test_alarms(fake: FakeNode) -> None:
    diag = "mq-diagnostics"
    alarms(fake)
    assert call("-q", "alarms", tool=diag).out.endswith(
        "reported no alarms, local or clusterwide\n"
    )
    assert call("check_alarms", "-s", tool=diag).out == ""
    alarms(fake, diagnostics_pb2.Alarm(resource="memory", node="fake@localhost"))
    line = "Memory alarm on node fake@localhost\n"
    assert call("-q", "alarms", tool=diag).out == line
    check = call("-q", "check_alarms", tool=diag)
    assert (check.code, check.err) == (69, line)
    local = call("-q", "check_local_alarms", tool=diag)
    assert (local.code, local.err) == (69, f"Error:\n{line}")
    health = call("-q", "node_health_check")
    assert health.code == 70
    assert health.err.endswith("in effect:[{resource_limit,memory,fake@localhost}]\n")


def test_listeners(fake: FakeNode) -> None:
    listener = diagnostics_pb2.Listener(
        node="fake@localhost",
        interface="127.0.0.1",
        port=1,
        protocol="amqp",
        purpose="AMQP 0-9-1 and AMQP 1.0",
    )
    reply = diagnostics_pb2.ListenersReply(listeners=[listener])
    for method, request in (
        ("Listeners", diagnostics_pb2.ListenersRequest),
        ("CheckPortListener", diagnostics_pb2.CheckPortListenerRequest),
        ("CheckProtocolListener", diagnostics_pb2.CheckProtocolListenerRequest),
    ):
        fake.answer(f"Diagnostics/{method}", request, lambda *_: reply)
    diag = "rabbitmq-diagnostics"
    assert call("-q", "listeners", tool=diag).out == (
        "Interface: 127.0.0.1, port: 1, protocol: amqp, purpose: AMQP 0-9-1 and AMQP 1.0\n"
    )
    assert call("-q", "check_port_listener", "1", tool=diag).code == 0
    missing = call("-q", "check_port_listener", "7", tool=diag)
    assert (missing.code, missing.err) == (
        69,
        "No listener for port 7 is active on node fake@localhost. Found listeners that use the "
        "following ports: 1\n",
    )
    assert call("-q", "check_protocol_listener", "AMQP0-9-1", tool=diag).code == 0
    assert call("-q", "check_protocol_listener", "mqtt", tool=diag).err.startswith("Error:\nNo ")
    refused = call("-q", "check_port_connectivity", tool=diag)  # nobody listens on port 1
    assert refused.code == 69
    assert refused.err.startswith("Error:\nConnection to ports of the following listeners")


# -- local ----------------------------------------------------------------------------------


def test_version() -> None:
    assert call("version").out == call("--version").out == "3.10.8\n"
    assert call("version", "--formatter", "csv").out == '"version"\n"3.10.8"\n'
    assert call("version", tool="mq-queues").code == 64


def test_autocomplete() -> None:
    assert call("autocomplete", "list_vh").out == "list_vhost_limits\nlist_vhosts\n"
    assert call("--auto-complete", "list_vho").out == "list_vhost_limits\nlist_vhosts\n"
    assert call("autocomplete", "nosuchthing").out == ""
    assert call("autocomplete").code == 64


def test_aliases(run_dir: Path, fake: FakeNode) -> None:
    users(fake, GUEST)
    file = run_dir / "aliases"
    file.write_text("lu = list_users -s\n")
    assert call("lu", "--aliases-file", str(file)).out == "guest\t[administrator]\n"


def test_output_to_a_file(run_dir: Path, fake: FakeNode) -> None:
    users(fake, GUEST)
    target = run_dir / "out"
    outcome = call("-q", "list_users", "--printer", "file", "--file", str(target))
    assert (outcome.out, target.read_text()) == ("", "user\ttags\nguest\t[administrator]\n")


def test_wait_times_out_without_a_pid_file(run_dir: Path) -> None:
    outcome = call("wait", str(run_dir / "pid"), "-t", "1")
    assert (outcome.code, outcome.out) == (75, f"Waiting for pid file '{run_dir}/pid' to appear\n")
    assert outcome.err.endswith("Timeout value used: 1000\n")


def test_wait_for_a_node_that_runs(run_dir: Path, fake: FakeNode) -> None:
    import os

    running(fake)
    fake.answer("Nodes/AwaitStartup", nodes_pb2.AwaitStartupRequest, done)
    (run_dir / "pid").write_text(f"{os.getpid()}\n")
    outcome = call("wait", str(run_dir / "pid"))
    assert outcome.out.splitlines() == [
        f"Waiting for pid file '{run_dir}/pid' to appear",
        f"pid is {os.getpid()}",
        "Waiting for erlang distribution on node 'fake@localhost' while OS process "
        f"'{os.getpid()}' is running",
        "Waiting for applications 'rabbit_and_plugins' to start on node 'fake@localhost'",
        "Applications 'rabbit_and_plugins' are running on node 'fake@localhost'",
    ]
    assert call("-q", "wait", str(run_dir / "pid")).out == ""


def test_wait_takes_the_cookie_that_the_node_leaves(run_dir: Path, fake: FakeNode) -> None:
    import os
    from hashlib import sha256

    cookie = Path(os.environ["HOME"]) / ".erlang.cookie"

    def probe(_: Any, context: Any) -> nodes_pb2.ProbeReply:
        if not cookie.exists():
            cookie.write_text("SECRET")
            refuse(context, "ACCESS_REFUSED", "cookie")
        return RUNNING

    fake.answer("Nodes/Probe", nodes_pb2.ProbeRequest, probe)
    fake.answer("Nodes/AwaitStartup", nodes_pb2.AwaitStartupRequest, done)
    (run_dir / "pid").write_text(f"{os.getpid()}\n")
    assert call("wait", str(run_dir / "pid")).code == 0
    assert fake.metadata[-1]["mqd-cookie-hash"] == sha256(b"SECRET").hexdigest()


def test_force_boot_marks_the_files_of_a_node_that_is_down(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_MNESIA_BASE", str(run_dir))
    (run_dir / "fake@localhost").mkdir()
    assert call("force_boot").code == 0
    assert (run_dir / "fake@localhost" / "force_load").exists()


def test_a_state_that_is_a_term_is_one_in_every_format(fake: FakeNode) -> None:
    nodedown = values_pb2.TermList(
        items=[values_pb2.Term(atom="nodedown"), values_pb2.Term(atom="b@h-2")]
    )
    row = quorum_queues_pb2.QuorumStatusRow(
        node="b@h-2", raft_state=values_pb2.Term(tuple=nodedown)
    )
    rows = quorum_queues_pb2.QuorumStatusRows(rows=[row])
    asked = quorum_queues_pb2.QuorumStatus
    fake.answer("QuorumQueues/Status", asked, lambda *_: iter([rows]), stream=True)
    words = ("-n", fake.name, "-q", "quorum_status", "q", "--formatter")
    assert "{nodedown,'b@h-2'}" in call(*words, "pretty_table", tool="rabbitmq-queues").out
    assert '"Raft State":["nodedown","b@h-2"]' in call(*words, "json", tool="rabbitmq-queues").out
    erlang = call(*words, "erlang", tool="rabbitmq-queues").out
    assert "{<<\"Raft State\">>,{nodedown,'b@h-2'}}" in erlang
