"""Where a key of rabbitmq.conf stands in RabbitMQ's application environment.

Decides the path of every key: application, then names of nested lists, as a classic file writes
them and `mqctl environment` shows them. Most follow from the key's own name; the rest is a table.
"""

from __future__ import annotations

import re
from functools import cache

_SERVER = "compress|idle_timeout|inactivity_timeout|request_timeout|shutdown_timeout|max_keepalive"
_COWBOY = rf"^(management|prometheus)\.(tcp|ssl)\.({_SERVER})$"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (_COWBOY, r"rabbitmq_\1.\2_config.cowboy_opts.\3"),
        (r"^(management|prometheus)\.(tcp|ssl)\.", r"rabbitmq_\1.\2_config."),
        (r"^management\.listener\.server\.", "rabbitmq_management.listener.cowboy_opts."),
        (r"^(mqtt|stomp|stream)\.listeners\.(tcp|ssl)\b.*$", r"rabbitmq_\1.\2_listeners"),
        (r"^(mqtt|stomp|stream)\.num_acceptors\.(tcp|ssl)$", r"rabbitmq_\1.num_\2_acceptors"),
        (r"^listeners\.(tcp|ssl)\b.*$", r"rabbit.\1_listeners"),
        (r"^num_acceptors\.(tcp|ssl)$", r"rabbit.num_\1_acceptors"),
        (r"^(mqtt|stomp|stream|prometheus|shovel|tracing|event_exchange)\.", r"rabbitmq_\1."),
        (r"^(management|management_agent)\.", r"rabbitmq_\1."),
        (r"^auth_(http|ldap|oauth2)\.", r"rabbitmq_auth_backend_\1."),
        (r"^raft\.", "ra."),
        (r"^log\.(console|exchange|journald|syslog)$", r"rabbit.log.\1.enabled"),
        (r"^log\.file\.rotation\.", "rabbit.log.file."),
        (r"^log\.(console|exchange|journald|syslog|file)\.", r"rabbit.log.\1."),
        (r"^log\.(\w+)\.(level|file)", r"rabbit.log.categories.\1.\2"),
        (r"^", "rabbit."),
    )
)  # fmt: skip

_EXCEPTIONS = """
    auth_ldap.connection_pool_size rabbitmq_auth_backend_ldap.pool_size
    auth_ldap.dn_lookup_bind.password rabbitmq_auth_backend_ldap.dn_lookup_bind
    auth_ldap.dn_lookup_bind.user_dn rabbitmq_auth_backend_ldap.dn_lookup_bind
    auth_ldap.other_bind.password rabbitmq_auth_backend_ldap.other_bind
    auth_ldap.other_bind.user_dn rabbitmq_auth_backend_ldap.other_bind
    auth_oauth2.additional_scopes_key rabbitmq_auth_backend_oauth2.extra_scopes_source
    auth_oauth2.algorithms.$algorithm rabbitmq_auth_backend_oauth2.key_config.algorithms
    auth_oauth2.default_key rabbitmq_auth_backend_oauth2.key_config.default_key
    auth_oauth2.jwks_url rabbitmq_auth_backend_oauth2.key_config.jwks_url
    auth_oauth2.signing_keys.$name rabbitmq_auth_backend_oauth2.key_config.signing_keys
    classic_queue.default_version rabbit.classic_queue_default_version
    cluster_formation.classic_config.nodes.$node rabbit.cluster_nodes
    cluster_formation.dns.hostname rabbit.cluster_formation.peer_discovery_dns.hostname
    cluster_formation.randomized_startup_delay_range.max \
        rabbit.cluster_formation.randomized_startup_delay_range
    cluster_formation.randomized_startup_delay_range.min \
        rabbit.cluster_formation.randomized_startup_delay_range
    cluster_partition_handling.pause_if_all_down.nodes.$name rabbit.cluster_partition_handling
    cluster_partition_handling.pause_if_all_down.recover rabbit.cluster_partition_handling
    default_permissions.configure rabbit.default_permissions
    default_permissions.read rabbit.default_permissions
    default_permissions.write rabbit.default_permissions
    definitions.hashing.algorithm rabbit.definitions.hashing_algorithm
    definitions.local.path rabbit.definitions.local_path
    disk_free_limit.absolute rabbit.disk_free_limit
    disk_free_limit.relative rabbit.disk_free_limit
    distribution.listener.interface kernel.inet_dist_use_interface
    distribution.listener.port_range.max kernel.inet_dist_listen_max
    distribution.listener.port_range.min kernel.inet_dist_listen_min
    erlang.K vm_args.+K
    inet_default_connect_options kernel.inet_default_connect_options
    inet_default_listen_options kernel.inet_default_listen_options
    log.dir rabbit.log_root
    log.file rabbit.log.file.file
    log.syslog.facility syslog.facility
    log.syslog.host syslog.dest_host
    log.syslog.identity syslog.app_name
    log.syslog.ip syslog.dest_host
    log.syslog.multiline_mode syslog.multiline_mode
    log.syslog.port syslog.dest_port
    log.syslog.protocol syslog.protocol
    log.syslog.transport syslog.protocol
    management.cors.allow_origins rabbitmq_management.cors_allow_origins
    management.cors.allow_origins.$name rabbitmq_management.cors_allow_origins
    management.cors.max_age rabbitmq_management.cors_max_age
    management.csp.policy rabbitmq_management.content_security_policy
    management.db_cache_multiplier rabbitmq_management.management_db_cache_multiplier
    management.disable_stats rabbitmq_management.disable_management_stats
    management.hsts.policy rabbitmq_management.strict_transport_security
    management.sample_retention_policies.$section.$interval \
        rabbitmq_management.sample_retention_policies
    message_store_shutdown_timeout rabbit.msg_store_shutdown_timeout
    net_ticktime kernel.net_ticktime
    product.name rabbit.product_name
    product.version rabbit.product_version
    quorum_queue.compute_checksums rabbit.quorum_compute_checksums
    socket_writer.gc_threshold rabbit.writer_gc_threshold
    stomp.default_pass rabbitmq_stomp.default_user.passcode
    stomp.default_user rabbitmq_stomp.default_user.login
    sysmon_handler.thresholds.busy_ports sysmon_handler.port_limit
    sysmon_handler.thresholds.busy_processes sysmon_handler.process_limit
    sysmon_handler.triggers.distribution_port sysmon_handler.busy_dist_port
    sysmon_handler.triggers.port sysmon_handler.busy_port
    sysmon_handler.triggers.process.garbage_collection sysmon_handler.gc_ms_limit
    sysmon_handler.triggers.process.heap_size sysmon_handler.heap_word_limit
    sysmon_handler.triggers.process.long_scheduled_execution sysmon_handler.schedule_ms_limit
    vm_memory_high_watermark.absolute rabbit.vm_memory_high_watermark
    vm_memory_high_watermark.relative rabbit.vm_memory_high_watermark
"""


@cache
def _exceptions() -> dict[str, str]:
    words = _EXCEPTIONS.replace("\\\n", "").split()
    return dict(zip(words[::2], words[1::2], strict=True))


def place(name: str) -> tuple[str, ...]:
    """Of a row of the table of keys, `$` parts included."""
    text = _exceptions().get(name)
    if text is None:
        for pattern, replacement in _RULES:
            if pattern.search(name):
                text = pattern.sub(replacement, name, count=1)
                break
    assert text is not None, name
    return tuple(part for part in text.split(".") if not part.startswith("$"))
