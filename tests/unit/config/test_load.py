"""What a configuration says in the end, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mqd.config.load import Configuration, load
from mqd.config.parse import ConfigError
from mqd.config.settings import NodeSettings, node_settings
from mqd.config.values import Address
from mqd.config.variables import Variables


def configured(
    tmp_path: Path, text: str = "", environ: Mapping[str, str] | None = None
) -> Configuration:
    path = tmp_path / "rabbitmq.conf"
    path.write_text(text)
    return load([path], Variables(environ or {}))


def settled(
    tmp_path: Path, text: str = "", environ: Mapping[str, str] | None = None
) -> NodeSettings:
    return node_settings(configured(tmp_path, text, environ))


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, text)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_nothing_said_gives_rabbitmqs_defaults() -> None:
    settings = node_settings(load([], Variables({})))
    assert settings.listeners == (Address("", 5672),)
    assert settings.amqp.heartbeat_s == 60
    assert settings.amqp.frame_bytes_max == 131_072
    assert settings.amqp.channel_max == 2047
    assert settings.amqp.auth_mechanisms == ("PLAIN", "AMQPLAIN")
    assert settings.loopback_users == {"guest"}
    assert settings.first_boot.tags == ("administrator",)
    assert settings.resources.disk_absolute_bytes == 50_000_000


def test_the_file_stands_above_rabbitmq_variables_and_below_own_ones(tmp_path: Path) -> None:
    text = "listeners.tcp.local = 127.0.0.1:5700"
    only = settled(tmp_path, text, {"RABBITMQ_NODE_PORT": "5800"})
    assert only.listeners == (Address("127.0.0.1", 5700),)
    own = settled(tmp_path, text, {"MQD_NODE_PORT": "5900", "RABBITMQ_NODE_PORT": "5800"})
    assert own.listeners == (Address("", 5900),)


def test_port_and_address_variables_make_the_default_listener(tmp_path: Path) -> None:
    environ = {"RABBITMQ_NODE_PORT": "5701", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1"}
    assert settled(tmp_path, "", environ).listeners == (Address("127.0.0.1", 5701),)


def test_listeners_none_means_none(tmp_path: Path) -> None:
    assert settled(tmp_path, "listeners.tcp = none").listeners == ()


def test_later_files_win(tmp_path: Path) -> None:
    first, second = tmp_path / "a.conf", tmp_path / "b.conf"
    first.write_text("heartbeat = 5\nchannel_max = 7\n")
    second.write_text("heartbeat = 6\n")
    config = load([first, second], Variables({}))
    assert (config["heartbeat"], config["channel_max"]) == (6, 7)
    assert config.set["heartbeat"].origin == f"{second}:1"


def test_every_problem_is_named_with_its_place_at_once(tmp_path: Path) -> None:
    text = "heartbeet = 5\nlisteners.tcp.x = abc\n\nframe_max = many\nwhat\nlog.file =\n"
    assert problems(tmp_path, text) == [
        "rabbitmq.conf:5: not of the form 'key = value': what",
        "rabbitmq.conf:6: no value after 'log.file =': write one or remove the line",
    ]
    text = "heartbeet = 5\nlisteners.tcp.x = abc\n\nframe_max = many\n"
    assert problems(tmp_path, text) == [
        "rabbitmq.conf:1: unknown key 'heartbeet'; did you mean 'heartbeat'?",
        "rabbitmq.conf:2: listeners.tcp.x = abc: must be a port or address:port, but is 'abc'",
        "rabbitmq.conf:4: frame_max = many: must be a size such as 131072 or 128KB, but is 'many'",
    ]


def test_a_message_size_above_the_hard_cap_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, "max_message_size = 1GB") == [
        "rabbitmq.conf:1: max_message_size = 1GB: must be at most 512 MiB"
    ]


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.conf: cannot be read: No such file"):
        load([tmp_path / "no.conf"], Variables({}))
    (tmp_path / "bin.conf").write_bytes(b"heartbeat = 5\n\xff")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 14"):
        load([tmp_path / "bin.conf"], Variables({}))


def test_values_may_refer_to_other_keys_and_to_the_environment(tmp_path: Path) -> None:
    text = "default_user = alice\ndefault_pass = $(SECRET)\ncluster_name = $(default_user)-c"
    config = configured(tmp_path, text, {"SECRET": "s3"})
    assert (config["default_pass"], config["cluster_name"]) == ("s3", "alice-c")
    assert problems(tmp_path, "cluster_name = $(NOWHERE)") == [
        "rabbitmq.conf:1: $(NOWHERE) names neither a key nor an environment variable"
    ]


def test_keys_of_other_areas_load_and_are_checked(tmp_path: Path) -> None:
    text = (
        "management.tcp.port = 15700\nmanagement.tcp.ip = 127.0.0.1\n"
        "mnesia_table_loading_retry_timeout = 3000\nssl_options.verify = verify_peer\n"
        "auth_ldap.servers.1 = a\nlog.console.formatter = json\n"
        "stream.tcp_listen_options.backlog = 4096\n"
    )
    assert configured(tmp_path, text)["heartbeat"] == 60
    assert problems(tmp_path, "management.db_cache_multiplier = x") == [
        "rabbitmq.conf:1: management.db_cache_multiplier = x: must be an integer, but is 'x'"
    ]


def test_guest_is_let_in_from_afar_in_both_spellings(tmp_path: Path) -> None:
    assert settled(tmp_path, "loopback_users = none").loopback_users == frozenset()
    assert settled(tmp_path, "loopback_users.guest = false").loopback_users == frozenset()
    both = settled(tmp_path, "loopback_users.alice = true").loopback_users
    assert both == {"guest", "alice"}


def test_first_boot_from_file_and_variables(tmp_path: Path) -> None:
    text = "default_user_tags.monitoring = true\ndefault_permissions.read = ^r"
    environ = {"RABBITMQ_DEFAULT_USER": "bob", "RABBITMQ_DEFAULT_VHOST": "v"}
    first = settled(tmp_path, text, environ).first_boot
    assert (first.user, first.vhost, first.password) == ("bob", "v", "guest")
    assert (first.tags, first.read, first.write) == (("monitoring",), "^r", ".*")


def test_watermarks_absolute_wins_over_relative(tmp_path: Path) -> None:
    text = "vm_memory_high_watermark.absolute = 512MiB\ndisk_free_limit.relative = 1.5"
    resources = settled(tmp_path, text).resources
    assert resources.memory_absolute_bytes == 512 * 1024**2
    assert resources.memory_relative is None
    assert resources.disk_relative == 1.5


def test_log_outputs_and_levels(tmp_path: Path) -> None:
    text = (
        "log.console = true\nlog.console.level = debug\nlog.file = false\n"
        "log.connection.level = none\n"
    )
    log = settled(tmp_path, text).log
    assert (log.console_level, log.file_level) == ("debug", None)
    assert log.categories == {"connection": "none"}


def test_login_mechanisms_that_are_not_there_are_named_and_not_offered(tmp_path: Path) -> None:
    text = "auth_mechanisms.1 = EXTERNAL\nauth_mechanisms.2 = PLAIN\n"
    assert settled(tmp_path, text).amqp.auth_mechanisms == ("PLAIN",)
    (note,) = configured(tmp_path, text).without_effect()
    assert note.what == "auth_mechanisms.1 = EXTERNAL"
    only = "auth_mechanisms.1 = EXTERNAL\n"
    assert settled(tmp_path, only).amqp.auth_mechanisms == ()  # what was not asked for stays shut


def test_members_of_families_are_checked_as_3_10_8_checks_them(tmp_path: Path) -> None:
    text = (
        "ssl_options.verify = maybe\nmanagement.ssl.depth = deep\n"
        "web_stomp.ssl.honor_cipher_order = 1\nlog.file.formatter = xml\n"
        "mqtt.tcp_listen_options.nodelay = 2\n"
    )
    assert [problem.partition(": must")[0] for problem in problems(tmp_path, text)] == [
        "rabbitmq.conf:1: ssl_options.verify = maybe",
        "rabbitmq.conf:2: management.ssl.depth = deep",
        "rabbitmq.conf:3: web_stomp.ssl.honor_cipher_order = 1",
        "rabbitmq.conf:4: log.file.formatter = xml",
        "rabbitmq.conf:5: mqtt.tcp_listen_options.nodelay = 2",
    ]


def test_only_internal_users_are_there(tmp_path: Path) -> None:
    text = "auth_backends.1 = internal\nauth_backends.2 = ldap\nauth_backends.3.authn = http\n"
    notes = configured(tmp_path, text).without_effect()
    assert [note.what for note in notes] == [
        "auth_backends.2 = ldap",
        "auth_backends.3.authn = http",
    ]
