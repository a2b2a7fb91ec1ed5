"""Configuration keys that RabbitMQ has and that do nothing here yet.

Decides that a configuration file which uses them loads, and checks what can be checked of their
values. A key that comes to life moves to `keys` and gets a default and a meaning there. Rows are
grouped by area and by kind; the families at the end repeat the same members under many prefixes.
"""

from __future__ import annotations

from mqd.config.families import BY_MEMBER, families
from mqd.config.keys import LEVELS
from mqd.config.reasons import reason
from mqd.config.schema import Key
from mqd.config.values import (
    ADDRESS,
    BOOLEAN,
    DURATION,
    INTEGER,
    NONE,
    OPTIONS,
    QUANTITY,
    SIZE,
    STRING,
    Kind,
    either,
    one_of,
    or_infinity,
)

_LIMIT = or_infinity(INTEGER)
_INTEGER_OR_OFF = either(INTEGER, one_of("off"))
_LEVEL = one_of(*LEVELS)

# (area, kind, names)
_ROWS: tuple[tuple[str, Kind, str], ...] = (
    ("broker", ADDRESS, """
        listeners.ssl.$name
     """),
    ("broker", OPTIONS, """
        inet_default_connect_options
     """),
    ("broker", BOOLEAN, """
        background_gc_enabled hipe_compile
        log.file.rotation.compress log.syslog log.syslog.multiline_mode proxy_protocol
        quorum_queue.compute_checksums reverse_dns_lookups ssl_allow_poodle_attack
        sysmon_handler.triggers.distribution_port sysmon_handler.triggers.port
     """),
    ("broker", DURATION, """
        background_gc_target_interval
        cluster_formation.lock_retry_timeout cluster_keepalive_interval collect_statistics_interval
        message_store_shutdown_timeout ssl_handshake_timeout
     """),
    ("broker", INTEGER, """
        classic_queue.default_version
        cluster_formation.internal_lock_retries cluster_formation.lock_retry_limit
        cluster_formation.target_cluster_size_hint
        default_worker_pool_size delegate_count distribution.listener.port_range.max
        distribution.listener.port_range.min log.file.rotation.count log.file.rotation.size
        log.syslog.port net_ticktime num_acceptors.ssl
        num_acceptors.tcp raft.segment_max_entries raft.snapshot_chunk_size raft.wal_hibernate_after
        raft.wal_max_batch_size raft.wal_max_entries raft.wal_max_size_bytes
        ssl_cert_login_san_index sysmon_handler.thresholds.busy_ports
        sysmon_handler.thresholds.busy_processes
     """),
    ("broker", NONE, """
        listeners.ssl
     """),
    ("broker", QUANTITY, """
        mirroring_sync_max_throughput
     """),
    ("broker", SIZE, """
        initial_frame_max mirroring_sync_batch_size queue_index_embed_msgs_below
     """),
    ("broker", STRING, """
        cluster_formation.randomized_startup_delay_range.max
        cluster_formation.randomized_startup_delay_range.min
        erlang.K log.file.rotation.date
        log.journald.fields log.syslog.facility log.syslog.host log.syslog.identity log.syslog.ip
        motd_file queue_leader_locator queue_master_locator raft.data_dir
        ssl_cert_login_from sysmon_handler.triggers.process.garbage_collection
        sysmon_handler.triggers.process.heap_size
        sysmon_handler.triggers.process.long_scheduled_execution
     """),
    ("broker", _INTEGER_OR_OFF, """
        socket_writer.gc_threshold
     """),
    ("broker", _LEVEL, """
        log.syslog.level
     """),
    ("broker", one_of("dns", "ip", "email", "uri", "other_name"), """
        ssl_cert_login_san_type
     """),
    ("broker", one_of("none", "coarse", "fine"), """
        collect_statistics
     """),
    ("broker", one_of("rfc3164", "rfc5424"), """
        log.syslog.protocol
     """),
    ("broker", one_of("rss", "erlang", "allocated", "legacy"), """
        vm_memory_calculation_strategy
     """),
    ("broker", one_of("stop_node", "continue", "transient", "persistent"), """
        vhost_restart_strategy
     """),
    ("broker", one_of("udp", "tcp", "tls", "ssl"), """
        log.syslog.transport
     """),
    ("HTTP authentication", INTEGER, """
        auth_http.connection_timeout auth_http.request_timeout
     """),
    ("HTTP authentication", STRING, """
        auth_http.resource_path auth_http.topic_path auth_http.user_path auth_http.vhost_path
     """),
    ("HTTP authentication", one_of("get", "post"), """
        auth_http.http_method
     """),
    ("LDAP", BOOLEAN, """
        auth_ldap.use_ssl auth_ldap.use_starttls
     """),
    ("LDAP", INTEGER, """
        auth_ldap.connection_pool_size auth_ldap.port
     """),
    ("LDAP", NONE, """
        auth_ldap.servers
     """),
    ("LDAP", STRING, """
        auth_ldap.dn_lookup_attribute auth_ldap.dn_lookup_base auth_ldap.dn_lookup_bind
        auth_ldap.dn_lookup_bind.password auth_ldap.dn_lookup_bind.user_dn
        auth_ldap.group_lookup_base auth_ldap.other_bind.password auth_ldap.other_bind.user_dn
        auth_ldap.servers.$server auth_ldap.user_bind_pattern auth_ldap.user_dn_pattern
     """),
    ("LDAP", _LIMIT, """
        auth_ldap.idle_timeout auth_ldap.timeout
     """),
    ("LDAP", one_of("as_user", "anon"), """
        auth_ldap.other_bind
     """),
    ("LDAP", one_of("true", "false", "network", "network_unsafe"), """
        auth_ldap.log
     """),
    ("MQTT", ADDRESS, """
        mqtt.listeners.ssl.$name mqtt.listeners.tcp.$name
     """),
    ("MQTT", BOOLEAN, """
        mqtt.allow_anonymous mqtt.proxy_protocol mqtt.sparkplug mqtt.ssl_cert_login
     """),
    ("MQTT", INTEGER, """
        mqtt.login_timeout mqtt.num_acceptors.ssl mqtt.num_acceptors.tcp mqtt.prefetch
        mqtt.retained_message_store_dets_sync_interval
     """),
    ("MQTT", NONE, """
        mqtt.listeners.ssl mqtt.listeners.tcp
     """),
    ("MQTT", STRING, """
        mqtt.default_pass mqtt.default_user mqtt.exchange mqtt.retained_message_store
        mqtt.subscription_ttl mqtt.vhost
     """),
    ("MQTT", one_of("classic", "quorum"), """
        mqtt.durable_queue_type
     """),
    ("OAuth 2", STRING, """
        auth_oauth2.additional_scopes_key auth_oauth2.algorithms.$algorithm auth_oauth2.default_key
        auth_oauth2.jwks_url auth_oauth2.resource_server_id auth_oauth2.signing_keys.$name
     """),
    ("Prometheus", BOOLEAN, """
        prometheus.return_per_object_metrics prometheus.ssl.compress prometheus.tcp.compress
     """),
    ("Prometheus", INTEGER, """
        prometheus.ssl.idle_timeout prometheus.ssl.inactivity_timeout prometheus.ssl.max_keepalive
        prometheus.ssl.port prometheus.ssl.request_timeout prometheus.ssl.shutdown_timeout
        prometheus.tcp.idle_timeout prometheus.tcp.inactivity_timeout prometheus.tcp.max_keepalive
        prometheus.tcp.port prometheus.tcp.request_timeout prometheus.tcp.shutdown_timeout
     """),
    ("Prometheus", STRING, """
        prometheus.filter_aggregated_queue_metrics_pattern prometheus.path prometheus.ssl.ip
        prometheus.tcp.ip
     """),
    ("STOMP", ADDRESS, """
        stomp.listeners.ssl.$name stomp.listeners.tcp.$name
     """),
    ("STOMP", BOOLEAN, """
        stomp.default_nack_requeue stomp.hide_server_info stomp.implicit_connect
        stomp.proxy_protocol stomp.ssl_cert_login
     """),
    ("STOMP", INTEGER, """
        stomp.login_timeout stomp.num_acceptors.ssl stomp.num_acceptors.tcp
     """),
    ("STOMP", NONE, """
        stomp.listeners.ssl stomp.listeners.tcp
     """),
    ("STOMP", STRING, """
        stomp.default_pass stomp.default_topic_exchange stomp.default_user stomp.default_vhost
     """),
    ("management", BOOLEAN, """
        management.disable_basic_auth management.disable_stats management.enable_queue_totals
        management.enable_uaa management.listener.server.compress management.listener.ssl
        management.ssl.compress management.tcp.compress management_agent.disable_metrics_collector
     """),
    ("management", DURATION, """
        management.tcp.idle_timeout management.tcp.inactivity_timeout management.tcp.request_timeout
        management.tcp.shutdown_timeout
     """),
    ("management", INTEGER, """
        management.cors.max_age management.db_cache_multiplier management.listener.port
        management.listener.server.idle_timeout management.listener.server.inactivity_timeout
        management.listener.server.max_keepalive management.listener.server.request_timeout
        management.listener.server.shutdown_timeout management.login_session_timeout
        management.sample_retention_policies.$section.$interval management.ssl.idle_timeout
        management.ssl.inactivity_timeout management.ssl.max_keepalive management.ssl.port
        management.ssl.request_timeout management.ssl.shutdown_timeout management.tcp.max_keepalive
        management.tcp.port
     """),
    ("management", NONE, """
        management.cors.allow_origins
     """),
    ("management", STRING, """
        management.cors.allow_origins.$name management.csp.policy
        management.headers.content_type_options management.headers.frame_options
        management.headers.xss_protection management.hsts.policy management.http_log_dir
        management.listener.ip management.path_prefix management.ssl.ip
        management.tcp.ip management.uaa_client_id management.uaa_location
        management_agent.filter_aggregated_queue_metrics_pattern
     """),
    ("management", one_of("basic", "detailed", "none"), """
        management.rates_mode
     """),
    ("stream protocol", ADDRESS, """
        stream.listeners.ssl.$name stream.listeners.tcp.$name
     """),
    ("stream protocol", BOOLEAN, """
        stream.ssl_cert_login
     """),
    ("stream protocol", INTEGER, """
        stream.advertised_port stream.advertised_tls_port stream.credits_required_for_unblocking
        stream.frame_max stream.heartbeat stream.initial_credits stream.num_acceptors.ssl
        stream.num_acceptors.tcp
     """),
    ("stream protocol", NONE, """
        stream.listeners.ssl stream.listeners.tcp
     """),
    ("stream protocol", STRING, """
        stream.advertised_host stream.advertised_tls_host
     """),
    ("AMQP 1.0", STRING, """
        amqp1_0.default_user amqp1_0.default_vhost amqp1_0.protocol_strict_mode
     """),
    ("LDAP", STRING, """
        auth_ldap.ssl_options
     """),
    ("OAuth 2", STRING, """
        auth_oauth2.https.peer_verification
     """),
    ("Prometheus", STRING, """
        prometheus.ssl.backlog
     """),
    ("TLS", STRING, """
        ssl_options
     """),
    ("authentication cache", STRING, """
        auth_cache.cache_module auth_cache.cache_refusals auth_cache.cache_ttl
        auth_cache.cached_backend auth_cache.cached_backend.authn auth_cache.cached_backend.authz
     """),
    ("broker", STRING, """
        definitions.https.url definitions.tls.reuse_session
     """),
    ("management", STRING, """
        management.listener.ssl_opts management.ssl.backlog
     """),
    ("peer discovery", STRING, """
        aws.prefer_imdsv2 cluster_formation.aws.access_key_id cluster_formation.aws.instance_tags
        cluster_formation.aws.instance_tags.$name cluster_formation.aws.region
        cluster_formation.aws.secret_key cluster_formation.aws.use_autoscaling_group
        cluster_formation.aws.use_private_ip cluster_formation.consul.acl_token
        cluster_formation.consul.cluster_name cluster_formation.consul.deregister_after
        cluster_formation.consul.domain_suffix cluster_formation.consul.host
        cluster_formation.consul.include_nodes_with_warnings cluster_formation.consul.lock_prefix
        cluster_formation.consul.lock_timeout cluster_formation.consul.lock_wait_time
        cluster_formation.consul.port cluster_formation.consul.scheme
        cluster_formation.consul.ssl_options cluster_formation.consul.svc
        cluster_formation.consul.svc_addr cluster_formation.consul.svc_addr_auto
        cluster_formation.consul.svc_addr_nic cluster_formation.consul.svc_addr_use_nodename
        cluster_formation.consul.svc_meta cluster_formation.consul.svc_meta.$name
        cluster_formation.consul.svc_port cluster_formation.consul.svc_tags
        cluster_formation.consul.svc_tags.$name cluster_formation.consul.svc_ttl
        cluster_formation.consul.use_longname cluster_formation.etcd.cluster_name
        cluster_formation.etcd.endpoints cluster_formation.etcd.endpoints.$index
        cluster_formation.etcd.host cluster_formation.etcd.key_prefix
        cluster_formation.etcd.lock_timeout cluster_formation.etcd.lock_wait_time
        cluster_formation.etcd.node_ttl cluster_formation.etcd.password cluster_formation.etcd.port
        cluster_formation.etcd.scheme cluster_formation.etcd.ssl_options
        cluster_formation.etcd.username cluster_formation.k8s.address_type
        cluster_formation.k8s.cert_path cluster_formation.k8s.host
        cluster_formation.k8s.hostname_suffix cluster_formation.k8s.namespace_path
        cluster_formation.k8s.port cluster_formation.k8s.scheme cluster_formation.k8s.service_name
        cluster_formation.k8s.token_path cluster_formation.node_cleanup.interval
        cluster_formation.node_cleanup.only_log_warning cluster_formation.proxy.http_proxy
        cluster_formation.proxy.https_proxy cluster_formation.proxy.proxy_exclusions.$name
     """),
    ("trust store", STRING, """
        trust_store.directory trust_store.providers.$name trust_store.refresh_interval
        trust_store.ssl_options trust_store.url
     """),
    ("web sockets", STRING, """
        web_mqtt.cowboy_opts.idle_timeout web_mqtt.cowboy_opts.max_empty_lines
        web_mqtt.cowboy_opts.max_header_name_length web_mqtt.cowboy_opts.max_header_value_length
        web_mqtt.cowboy_opts.max_headers web_mqtt.cowboy_opts.max_keepalive
        web_mqtt.cowboy_opts.max_request_line_length web_mqtt.cowboy_opts.timeout
        web_mqtt.max_connections web_mqtt.num_acceptors.ssl web_mqtt.num_acceptors.tcp
        web_mqtt.proxy_protocol web_mqtt.ssl.backlog web_mqtt.ssl.cacertfile web_mqtt.ssl.certfile
        web_mqtt.ssl.ciphers.$cipher web_mqtt.ssl.client_renegotiation web_mqtt.ssl.crl_check
        web_mqtt.ssl.depth web_mqtt.ssl.honor_cipher_order web_mqtt.ssl.honor_ecc_order
        web_mqtt.ssl.ip web_mqtt.ssl.keyfile web_mqtt.ssl.listener web_mqtt.ssl.password
        web_mqtt.ssl.port web_mqtt.ssl.reuse_sessions web_mqtt.ssl.secure_renegotiate
        web_mqtt.ssl.versions.$version web_mqtt.tcp.backlog web_mqtt.tcp.ip web_mqtt.tcp.listener
        web_mqtt.tcp.port web_mqtt.ws_opts.compress web_mqtt.ws_opts.idle_timeout
        web_mqtt.ws_opts.max_frame_size web_mqtt.ws_path web_stomp.cowboy_opts.idle_timeout
        web_stomp.cowboy_opts.max_empty_lines web_stomp.cowboy_opts.max_header_name_length
        web_stomp.cowboy_opts.max_header_value_length web_stomp.cowboy_opts.max_headers
        web_stomp.cowboy_opts.max_keepalive web_stomp.cowboy_opts.max_request_line_length
        web_stomp.cowboy_opts.timeout web_stomp.max_connections web_stomp.num_acceptors.ssl
        web_stomp.num_acceptors.tcp web_stomp.port web_stomp.proxy_protocol web_stomp.ssl.backlog
        web_stomp.ssl.cacertfile web_stomp.ssl.certfile web_stomp.ssl.ciphers.$cipher
        web_stomp.ssl.client_renegotiation web_stomp.ssl.crl_check web_stomp.ssl.depth
        web_stomp.ssl.honor_cipher_order web_stomp.ssl.honor_ecc_order web_stomp.ssl.ip
        web_stomp.ssl.keyfile web_stomp.ssl.listener web_stomp.ssl.password web_stomp.ssl.port
        web_stomp.ssl.reuse_sessions web_stomp.ssl.secure_renegotiate
        web_stomp.ssl.versions.$version web_stomp.tcp.backlog web_stomp.tcp.ip
        web_stomp.tcp.listener web_stomp.tcp.port web_stomp.use_http_auth web_stomp.ws_frame
        web_stomp.ws_opts.compress web_stomp.ws_opts.idle_timeout web_stomp.ws_opts.max_frame_size
        web_stomp.ws_path
     """),
    ("RabbitMQ 4", STRING, """
        anonymous_login_pass anonymous_login_user auth_http.authorization_failure_disclosure
        auth_ldap.queries.resource_access auth_ldap.queries.tags auth_ldap.queries.topic_access
        auth_ldap.queries.vhost_access channel_interceptor.priorities.$name channel_max_per_node
        cluster_exchange_limit cluster_formation.registration.enabled cluster_queue_limit
        cluster_tags.$tag consumer_disconnected_timeout consumer_max_per_channel default_queue_type
        default_users.$name.configure default_users.$name.password default_users.$name.read
        default_users.$name.tags default_users.$name.vhost_pattern default_users.$name.write
        deprecated_features.permit.$name event_exchange.protocol exchange_types.local_random.enabled
        http_dispatch.access_log_dir http_dispatch.auth_backends.$num
        http_dispatch.auth_backends.$num.authn http_dispatch.auth_backends.$num.authz
        link_max_per_session log.error_logger_format_depth log.summarize_process_state log.user.file
        log.user.level management.credential_encryption_secret
        management.definitions.require_json_extension management.delegate_count
        management.headers.referrer_policy management.http.hide_allow_header
        management.http.max_body_size management.require_auth_for_api_reference
        management.restrictions.operator_policy_changes.disabled
        management.restrictions.quorum_queue_replica_operations.disabled
        management.ssl.max_connections management.tcp.max_connections
        message_interceptors.$stage.$name.$key metadata_store.khepri.default_timeout
        metadata_store.khepri.snapshot_interval mqtt.disconnect_on_unauthorized
        mqtt.mailbox_soft_limit mqtt.max_connections mqtt.max_packet_size_authenticated
        mqtt.max_packet_size_unauthenticated mqtt.max_session_expiry_interval_seconds
        mqtt.message_interceptors.$stage.$name.$key mqtt.retained_message_store.max_messages
        mqtt.retained_message_store.max_size_bytes mqtt.ssl_cert_client_id_from
        mqtt.ssl_cert_login_san_index mqtt.ssl_cert_login_san_type mqtt.topic_alias_maximum
        node_tags.$tag prevent_startup_if_node_was_reset prometheus.authentication.enabled
        prometheus.ssl.max_connections prometheus.tcp.listener prometheus.tcp.max_connections
        queue_types.classic.enabled queue_types.quorum.enabled queue_types.stream.enabled
        quorum_queue.commands_soft_limit quorum_queue.compress_mem_tables
        quorum_queue.continuous_membership_reconciliation.auto_remove
        quorum_queue.continuous_membership_reconciliation.enabled
        quorum_queue.continuous_membership_reconciliation.interval
        quorum_queue.continuous_membership_reconciliation.target_group_size
        quorum_queue.continuous_membership_reconciliation.trigger_interval
        quorum_queue.initial_cluster_size quorum_queue.max_append_entries_rpc_batch_size
        quorum_queue.member_placement_tag
        quorum_queue.property_equivalence.relaxed_checks_on_redeclaration
        quorum_queue.segment_compute_checksums quorum_queue.segment_max_entries
        quorum_queue.segment_max_size_bytes quorum_queue.snapshot_chunk_size
        quorum_queue.wal_compute_checksums quorum_queue.wal_max_batch_size
        quorum_queue.wal_max_entries quorum_queue.wal_max_size_bytes
        raft.adaptive_failure_detector.detection_threshold
        raft.adaptive_failure_detector.heartbeat_interval
        raft.adaptive_failure_detector.poll_interval raft.adaptive_failure_detector.scaling_factor
        ranch_connection_max runtime_parameters.limits.$category session_max_per_connection
        shovel.delete_after_duration_floor shovel.local.max_credit shovel.operating_mode
        shovel.topology.predeclared stomp.max_connections stomp.max_frame_size
        stomp.max_frame_size_unauthenticated stream.data_dir stream.initial_frame_max
        stream.max_connections stream.max_super_stream_partitions
        stream.max_uncompressed_sub_entry_batch_size stream.read_ahead stream.read_ahead_limit
        stream.replication.address_family stream.replication.port_range.max
        stream.replication.port_range.min tracing.dir tracing.password tracing.username vhost_max
     """),
)  # fmt: skip


def _accepted() -> tuple[Key, ...]:
    from mqd.config.keys import WORKING

    taken = {key.name for key in WORKING}
    rows = []

    def add(name: str, kind: Kind, area: str) -> None:
        if name not in taken:
            taken.add(name)
            if kind is STRING and area != "RabbitMQ 4":
                kind = BY_MEMBER.get(name.rpartition(".")[2], STRING)
            rows.append(Key(name, kind, None, area, works=False, reason=reason(name, area)))

    for area, kind, names in _ROWS:
        for name in names.split():
            add(name, kind, area)
    for area, members in families():
        for name in members:
            add(name, STRING, area)
    return tuple(rows)


ACCEPTED = _accepted()
