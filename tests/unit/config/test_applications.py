"""The application environment, as RabbitMQ 3.10.8 has it (shape and types observed)."""

from __future__ import annotations

from pathlib import Path

from mqd.config.applications import Applications, defaults, environment
from mqd.config.erlang import Atom, Chars
from mqd.config.load import load
from mqd.config.places import place
from mqd.config.schema import schema
from mqd.config.variables import Variables


def shown(tmp_path: Path, conf: str = "", classic: str = "[].") -> Applications:
    (tmp_path / "a.conf").write_text(conf)
    (tmp_path / "a.config").write_text(classic)
    config = load([tmp_path / "a.conf", tmp_path / "a.config"], Variables({}))
    rows = [(r.key.name, r.name, r.shown) for r in config.set.values()]
    return environment(rows, config.applications, {"data": "/d"}, ["rabbitmq_x"])


def test_nothing_said_is_rabbitmqs_own(tmp_path: Path) -> None:
    found = shown(tmp_path)
    assert list(found) == sorted([*defaults(), "rabbitmq_x"])
    assert found["mnesia"] == {"dir": Chars("/d")}
    assert found["rabbit"]["auth_backends"] == [Atom("rabbit_auth_backend_internal")]
    assert "default_pass" not in found["rabbit"]


def test_values_have_the_types_that_3_10_8_gives_them(tmp_path: Path) -> None:
    rabbit = shown(
        tmp_path,
        "default_user = alice\ndefault_pass = x\ncluster_name = c\nlog.dir = /l\nheartbeat = 7\n"
        "connection_max = infinity\nvm_memory_high_watermark.relative = 0.5\n"
        "disk_free_limit.relative = 1.5\nauth_backends.1 = internal\nauth_backends.2 = ldap\n"
        "auth_backends.3.authn = http\nauth_backends.3.authz = cache\nlisteners.tcp.1 = 5672\n"
        "listeners.tcp.2 = ::1:5673\nloopback_users = none\ndefault_user_tags.monitoring = true\n"
        "default_user_tags.management = true\n"
        "cluster_partition_handling = pause_minority\nqueue_master_locator = min-masters\n"
        "tcp_listen_options.keepalive = true\nlog.console = true\nlog.console.level = debug\n"
        "password_hashing_module = rabbit_password_hashing_sha512\n",
    )["rabbit"]
    assert rabbit["default_user"] == b"alice"
    assert "default_pass" not in rabbit
    assert rabbit["cluster_name"] == Chars("c")
    assert rabbit["log_root"] == Chars("/l")
    assert (rabbit["heartbeat"], rabbit["connection_max"]) == (7, Atom("infinity"))
    assert rabbit["vm_memory_high_watermark"] == 0.5
    assert rabbit["disk_free_limit"] == ("mem_relative", 1.5)
    assert rabbit["auth_backends"] == [
        "rabbit_auth_backend_internal",
        "rabbit_auth_backend_ldap",
        ("rabbit_auth_backend_http", "rabbit_auth_backend_cache"),
    ]
    assert rabbit["tcp_listeners"] == [(Chars("::1"), 5673), 5672]  # the last one first
    assert rabbit["loopback_users"] == []
    assert rabbit["default_user_tags"] == [Atom("management"), Atom("monitoring")]
    assert rabbit["cluster_partition_handling"] == Atom("pause_minority")
    assert rabbit["queue_master_locator"] == b"min-masters"
    assert rabbit["tcp_listen_options"] == [("keepalive", "true")]
    console = dict(dict(rabbit["log"])["console"])
    assert (console["enabled"], console["level"]) == (Atom("true"), Atom("debug"))
    assert rabbit["password_hashing_module"] == Atom("rabbit_password_hashing_sha512")


def test_lists_and_sizes_are_as_3_10_8_has_them(tmp_path: Path) -> None:
    rabbit = shown(
        tmp_path,
        "tcp_listen_options.backlog = 3\ntcp_listen_options.linger.timeout = 3\n"
        "tcp_listen_options.sndbuf = 5\nvm_memory_high_watermark.absolute = 512MB\n"
        "disk_free_limit.absolute = 500\ncluster_formation.classic_config.nodes.1 = a@b\n"
        "cluster_formation.classic_config.nodes.2 = c@d\n",
    )["rabbit"]
    assert rabbit["tcp_listen_options"] == [
        ("sndbuf", 5),
        ("backlog", 3),
        ("linger", ("false", 3)),
    ]
    assert rabbit["vm_memory_high_watermark"] == ("absolute", Chars("512MB"))
    assert rabbit["disk_free_limit"] == 500
    assert rabbit["cluster_nodes"] == (["c@d", "a@b"], "disc")


def test_erlang_files_stand_as_they_were_written(tmp_path: Path) -> None:
    found = shown(
        tmp_path,
        "heartbeat = 5\n",
        '[{rabbit,[{heartbeat,20},{foo,bar},{default_user,"x"},{log,[{file,[{level,debug}]}]}]},'
        "{kernel,[{net_ticktime,33},{inet_default_listen_options,[{raw,6,18,<<5000:64/native>>}]}]},"
        "{mine,[{a,1}]}].",
    )
    rabbit = found["rabbit"]
    assert (rabbit["heartbeat"], rabbit["foo"], rabbit["default_user"]) == (20, "bar", Chars("x"))
    assert rabbit["log"] == [("file", [("level", "debug")])]
    assert found["kernel"]["net_ticktime"] == 33
    assert found["kernel"]["inet_default_listen_options"] == [
        ("raw", 6, 18, b"\x88\x13\0\0\0\0\0\0")
    ]
    assert found["mine"] == {"a": 1}


def test_every_key_has_a_place() -> None:
    for key in schema().keys:
        path = place(key.name)
        assert len(path) >= 2, key.name
    assert place("heartbeat") == ("rabbit", "heartbeat")
    assert place("management.tcp.idle_timeout") == (
        "rabbitmq_management",
        "tcp_config",
        "cowboy_opts",
        "idle_timeout",
    )
    assert place("log.connection.level") == ("rabbit", "log", "categories", "connection", "level")
