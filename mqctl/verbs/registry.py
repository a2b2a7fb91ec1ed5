"""Which verbs deviate from the common behaviour, and where their code is.

Decides nothing else; imports only the module of the verb asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mqctl.behaviour import Behaviour

# verb -> (module of mqctl.verbs, class)
OVERRIDES: dict[str, tuple[str, str]] = {
    "add_member": ("replicas", "AddMember"),
    "add_user": ("users", "AddUser"),
    "alarms": ("alarms", "Alarms"),
    "authenticate_user": ("users", "AuthenticateUser"),
    "autocomplete": ("local", "Autocomplete"),
    "await_online_quorum_plus_one": ("upgrade", "AwaitReplicas"),
    "await_online_synchronized_mirror": ("upgrade", "AwaitReplicas"),
    "await_startup": ("waiting", "AwaitStartup"),
    "cancel_sync_queue": ("mirroring", "CancelSync"),
    "certificates": ("inspection", "Certificates"),
    "change_cluster_node_type": ("membership", "ChangeClusterNodeType"),
    "check_alarms": ("alarms", "CheckAlarms"),
    "check_certificate_expiration": ("inspection", "CheckCertificateExpiration"),
    "check_for_quorum_queues_without_an_elected_leader": ("replicas", "CheckLeaders"),
    "check_if_any_deprecated_features_are_used": ("internals", "CheckDeprecatedFeatures"),
    "check_if_cluster_has_classic_queue_mirroring_policy": ("mirroring", "CheckMirroringPolicies"),
    "check_if_metadata_store_is_initialized": ("internals", "MetadataStoreCheck"),
    "check_if_metadata_store_is_initialized_with_data": ("internals", "MetadataStoreCheck"),
    "check_if_new_quorum_queue_replicas_have_finished_initial_sync": (
        "replicas",
        "CheckInitialSync",
    ),
    "check_if_node_is_mirror_sync_critical": ("cluster_status", "CheckCritical"),
    "check_if_node_is_quorum_critical": ("cluster_status", "CheckCritical"),
    "check_local_alarms": ("alarms", "CheckLocalAlarms"),
    "check_port_connectivity": ("listeners", "CheckPortConnectivity"),
    "check_port_listener": ("listeners", "CheckPortListener"),
    "check_protocol_listener": ("listeners", "CheckProtocolListener"),
    "check_running": ("running", "CheckRunning"),
    "check_virtual_hosts": ("running", "CheckVirtualHosts"),
    "cipher_suites": ("inspection", "CipherSuites"),
    "clear_topic_permissions": ("permissions", "ClearTopicPermissions"),
    "clear_user_limits": ("limit_listings", "ClearUserLimits"),
    "close_all_connections": ("connections", "CloseAllConnections"),
    "cluster_status": ("cluster_status", "ClusterStatus"),
    "command_line_arguments": ("facts", "CommandLineArguments"),
    "coordinator_status": ("replicas", "TitledRows"),
    "decode": ("encryption", "Decode"),
    "decrypt_conf_value": ("encryption", "DecryptConfValue"),
    "delete_queue": ("queues", "DeleteQueue"),
    "directories": ("plugins", "Directories"),
    "disable": ("plugin_changes", "Disable"),
    "disable_auth_attempt_source_tracking": ("inspection", "SourceTracking"),
    "discover_peers": ("inspection", "DiscoverPeers"),
    "doctor": ("doctor", "Doctor"),
    "enable": ("plugin_changes", "Enable"),
    "enable_auth_attempt_source_tracking": ("inspection", "SourceTracking"),
    "enable_feature_flag": ("feature_flags", "EnableFeatureFlag"),
    "encode": ("encryption", "Encode"),
    "encrypt_conf_value": ("encryption", "EncryptConfValue"),
    "environment": ("facts", "Environment"),
    "erlang_cookie_hash": ("facts", "NamedValue"),
    "erlang_cookie_sources": ("local", "CookieSources"),
    "erlang_version": ("facts", "NamedValue"),
    "eval": ("evaluation", "Eval"),
    "eval_file": ("evaluation", "EvalFile"),
    "exec": ("evaluation", "Exec"),
    "export_definitions": ("definitions", "ExportDefinitions"),
    "force_boot": ("stopping", "ForceBoot"),
    "forget_cluster_node": ("membership", "ForgetClusterNode"),
    "grow": ("replicas", "Growth"),
    "grow_to_count": ("replicas", "Growth"),
    "has_reached_target_cluster_size": ("upgrade", "TargetClusterSize"),
    "hash_password": ("local", "HashPassword"),
    "help": ("local", "Help"),
    "import_definitions": ("definitions", "ImportDefinitions"),
    "is_booting": ("running", "IsBooting"),
    "is_enabled": ("plugins", "IsEnabled"),
    "is_running": ("running", "IsRunning"),
    "join_cluster": ("membership", "JoinCluster"),
    "list": ("plugins", "List"),
    "list_ciphers": ("local", "ListCiphers"),
    "list_consumers": ("consumers", "ListConsumers"),
    "list_deprecated_features": ("internals", "DeprecatedFeatures"),
    "list_hashes": ("local", "ListHashes"),
    "list_network_interfaces": ("inspection", "NetworkInterfaces"),
    "list_node_auth_attempt_stats": ("facts", "AuthAttempts"),
    "list_policies_that_match": ("internals", "MatchingPolicies"),
    "list_user_limits": ("limit_listings", "ListUserLimits"),
    "list_vhost_limits": ("limit_listings", "ListVhostLimits"),
    "listeners": ("listeners", "Listeners"),
    "log_location": ("facts", "LogLocation"),
    "log_tail": ("facts", "LogTail"),
    "log_tail_stream": ("inspection", "LogTailStream"),
    "maybe_stuck": ("inspection", "MaybeStuck"),
    "memory_breakdown": ("memory", "MemoryBreakdown"),
    "message_size_stats": ("replicas", "TitledRows"),
    "metadata_store_status": ("replicas", "TitledRows"),
    "node_health_check": ("alarms", "NodeHealthCheck"),
    "observer": ("inspection", "NoShell"),
    "os_env": ("facts", "OsEnv"),
    "peek": ("replicas", "Peek"),
    "ping": ("running", "Ping"),
    "post_upgrade": ("upgrade", "PostUpgrade"),
    "quorum_status": ("replicas", "TitledRows"),
    "rebalance": ("replicas", "Rebalance"),
    "reclaim_quorum_memory": ("replicas", "ReclaimQuorumMemory"),
    "remote_shell": ("inspection", "NoShell"),
    "rename_cluster_node": ("membership", "RenameClusterNode"),
    "report": ("report", "Report"),
    "reset_stats_db": ("plugins", "ResetStatsDb"),
    "resolve_hostname": ("facts", "ResolveHostname"),
    "resolver_info": ("local", "ResolverInfo"),
    "restart_vhost": ("vhosts", "RestartVhost"),
    "rotate_logs": ("local", "RotateLogs"),
    "runtime_thread_stats": ("inspection", "RuntimeThreadStats"),
    "server_version": ("facts", "NamedValue"),
    "set": ("plugin_changes", "Set"),
    "set_channel_interceptor_priorities": ("internals", "SetInterceptorPriorities"),
    "set_disk_free_limit": ("limits", "SetDiskFreeLimit"),
    "set_log_level": ("limits", "SetLogLevel"),
    "set_vm_memory_high_watermark": ("limits", "SetMemoryHighWatermark"),
    "shutdown": ("stopping", "Shutdown"),
    "status": ("status", "Status"),
    "stop": ("stopping", "Stop"),
    "stream_status": ("streams", "StreamStatus"),
    "tls_versions": ("facts", "TlsVersions"),
    "trace_off": ("vhosts", "Trace"),
    "trace_on": ("vhosts", "Trace"),
    "update_cluster_nodes": ("membership", "UpdateClusterNodes"),
    "update_vhost_metadata": ("internals", "UpdateVhostMetadata"),
    "version": ("local", "Version"),
    "wait": ("waiting", "Wait"),
}


def behaviour_class(verb: str, scope: int) -> type[Behaviour]:
    """The class that runs a verb; scope is for verbs whose name means two things."""
    del scope
    place = OVERRIDES.get(verb)
    if place is None:
        from mqctl.behaviour import Behaviour

        return Behaviour
    module = importlib.import_module(f"mqctl.verbs.{place[0]}")
    found: type[Behaviour] = getattr(module, place[1])
    return found
