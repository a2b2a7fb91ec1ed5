"""What the catalogue cannot say of the verbs: words to try, and answers that are not usual.

Keys of the tables are "verb.argument" where an argument means something of its own there, else
the argument alone. {node}, {port}, {folder}, {pid} (a connection) and {fresh} (a name that nothing
has) are filled in. A verb with an argument that is in no table is walked with the word "walk".
"""

from __future__ import annotations

WORLD = {
    "users": [
        {"name": name, "password": "secret", "tags": "administrator"}
        for name in ("walker", "spare")
    ],
    "vhosts": [{"name": "/"}, {"name": "spare"}],
    "permissions": [
        {"user": name, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
        for name in ("guest", "walker")
    ],
    "topic_permissions": [
        {"user": "walker", "vhost": "/", "exchange": "amq.topic", "write": ".*", "read": ".*"}
    ],
    "queues": [
        {
            "name": kind,
            "vhost": "/",
            "durable": True,
            "auto_delete": False,
            "arguments": {"x-queue-type": kind},
        }
        for kind in ("classic", "quorum", "stream")
    ]
    + [
        {
            "name": "transient",
            "vhost": "/",
            "durable": False,
            "auto_delete": False,
            "arguments": {},
        }
    ],
    "exchanges": [],
    "bindings": [
        {
            "source": "amq.topic",
            "vhost": "/",
            "destination": "classic",
            "destination_type": "queue",
            "routing_key": 'a "b", c',
            "arguments": {"x": 1},
        }
    ],
    "policies": [
        {
            "name": "walk",
            "vhost": "/",
            "pattern": "^walk",
            "apply-to": "queues",
            "priority": 1,
            "definition": {"max-length": 5},
        }
    ],
    "parameters": [
        {
            "component": "operator_policy",
            "name": "walk",
            "vhost": "/",
            "value": {"pattern": "^walk", "definition": {"max-length": 5}, "priority": 0},
        },
        {
            "component": "vhost-limits",
            "name": "limits",
            "vhost": "/",
            "value": {"max-queues": 1000},
        },
    ],
    "global_parameters": [{"name": "walk", "value": {"a": [1, 2.5, None, "é"]}}],
}

# -- words ---------------------------------------------------------------------------------------

# "walk", by the passphrase "secret"
_TERM = "aXshoMz0GS1OAPF4dIwSI8fq296uDK/IRLBelDhltz4RsfW/0ORUXKkbK0sFHm4O"
ENCODED = f'{{encrypted,<<"{_TERM}">>}}'
ENCRYPTED = "encrypted:NeV5w4WlQ8sOqTIYHzVb46uKnLSUM5Z8B335tS5SkbpuqKoatae21HzR9YWWvHrb"

GOOD = {
    "add_user.username": "{fresh}",
    "add_vhost.name": "{fresh}",
    "address_family": "ipv4",
    "age": "1D",
    "authenticate_user.password": "secret",
    "autocomplete.word": "list_",
    "check_for_quorum_queues_without_an_elected_leader.pattern": ".*",
    "check_port_listener.port": "{port}",
    "check_protocol_listener.protocol": "amqp",
    "change_cluster_node_type.kind": "disc",
    "clear_parameter.component": "vhost-limits",
    "clear_parameter.name": "limits",
    "clear_user_limits.limit_type": "max-channels",
    "component": "vhost-limits",
    "configure": ".*",
    "count": "1",
    "decode.value": ENCODED,
    "decrypt_conf_value.value": ENCRYPTED,
    "definition": '{"max-length": 9}',
    "delete_queue.name": "classic",
    "delete_user.username": "spare",
    "delete_vhost.name": "spare",
    "disable_vhost_deletion_protection.name": "spare",
    "encode.value": "{walk, [1, <<2>>]}",
    "encrypt_conf_value.value": "walk",
    "rename_cluster_node.names": "a@localhost b@localhost",
    "set_channel_interceptor_priorities.words": "1 2",
    "set_user_tags.tags": "administrator monitoring",
    "enable_feature_flag.name": "all",
    "enable_vhost_deletion_protection.name": "/",
    "eval.expression": '{ok, [1, <<"a">>, #{b => 2.5}]}.',
    "eval_file.expression": "{folder}/expression",
    "exchange": "amq.topic",
    "explain_connection.connection": "{pid}",
    "permission": "write",
    "user": "walker",
    "exec.expression": "[1, 2]",
    "export_definitions.file_path": "{folder}/{fresh}",
    "headers": '{"a": 1}',
    "hostname": "localhost",
    "import_definitions.file_path": "{folder}/world.json",
    "kind": "all",
    "level": "info",
    "limit_type": "max-connections",
    "list_policies_that_match.name": "classic",
    "passphrase": "secret",
    "password": "secret",
    "pid": "{pid}",
    "pidfile": "{folder}/pid",
    "plugins": "rabbitmq_random_exchange",
    "position": "1",
    "purge_queue.name": "classic",
    "queue": "quorum",
    "read": ".*",
    "set_disk_free_limit.words": "1MB",
    "set_parameter.name": "limits",
    "set_user_limits.definition": '{"max-channels": 100}',
    "set_vhost_limits.definition": '{"max-queues": 100}',
    "set_vm_memory_high_watermark.words": "0.8",
    "strategy": "all",
    "stream": "stream",
    "sync_queue.queue": "classic",
    "cancel_sync_queue.queue": "classic",
    "tags": "administrator",
    "target": "{node}",
    "update_vhost_metadata.name": "/",
    "set_vhost_tags.name": "/",
    "username": "walker",
    "value": '{"max-queues": 100}',
    "write": ".*",
}
# switches without which a verb would wait, or do nothing that can be seen
WITH = {
    "log_tail_stream": ["--duration", "0.05"],
    "runtime_thread_stats": ["--sample-interval", "1"],
    "observer": ["--interval", "1"],
    "update_vhost_metadata": ["--description", "walked"],
    "await_startup": ["-t", "1"],
    "wait": ["-t", "1"],
    "consume_event_stream": ["--duration", "1"],
}
# words that are refused, and the exit codes that may be the answer; switches too, after --
Refused = list[tuple[str, tuple[int, ...]]]
BAD: dict[str, Refused] = {
    "add_user.username": [("", (65,)), ("guest", (69, 70))],
    "age": [("soon", (69,))],
    "authenticate_user.password": [("wrong", (65,))],
    "authenticate_user.username": [("nobody", (65,))],
    "--apply_to": [("everything", (69,))],
    "check_port_listener.port": [("1", (69,)), ("port", (64, 65))],
    "check_protocol_listener.protocol": [("nosuch", (69,))],
    "change_cluster_node_type.kind": [("tape", (65,))],
    "component": [("nosuch", (65, 69, 70))],
    "configure": [("[", (65, 69, 70))],
    "count": [("many", (64, 65)), ("0", (64, 65, 70))],
    "definition": [("{", (69,)), ('{"nosuch": 1}', (65, 69, 70))],
    "delete_queue.name": [("nosuch", (64, 65, 69))],
    "delete_vhost.name": [("nosuch", (65, 69))],
    "enable_feature_flag.name": [("nosuch", (64,)), ("", (65,))],
    "eval.expression": [("{", (64,)), ("1/0.", (69,)), ("", (64,))],
    "eval_file.expression": [("/nosuch", (64,)), ("/", (64,))],
    "exec.expression": [("", (64,)), ("File.rm(1)", (69,))],
    "explain_queue.queue": [],  # that there is none is an answer
    "export_definitions.file_path": [("/nosuch/x", (65, 69, 70))],
    "--format": [("nosuch", (65,))],
    "hashing_algorithm": [("nosuch", (64,))],
    "headers": [("{", (65,))],
    "hostname": [("nosuch.invalid", (65, 69))],
    "import_definitions.file_path": [("/nosuch", (65, 69))],
    "level": [("loud", (69,))],
    "limit_type": [("nosuch", (65, 69, 70))],
    "list_policies_that_match.name": [("nosuch", (65, 69))],
    "decode.passphrase": [("wrong", (69,))],
    "decrypt_conf_value.passphrase": [("wrong", (69,))],
    "cancel_sync_queue.queue": [("nosuch", (69,))],
    "close_all_user_connections.username": [],  # nobody has none
    "clear_user_limits.limit_type": [],  # any name
    "permission": [("delete", (65,))],
    "pid": [("nosuch", (64, 65, 69, 70))],
    "position": [("first", (64, 65, 70)), ("99", (69, 70))],
    "purge_queue.name": [("nosuch", (65, 69))],
    "queue": [("nosuch", (65, 69, 70)), ("classic", (65, 69, 70))],
    "read": [("[", (65, 69, 70))],
    "set_disk_free_limit.words": [("plenty", (64, 65))],
    "set_vm_memory_high_watermark.words": [("plenty", (64, 65)), ("7", (64, 65))],
    "set_stream_retention_policy.stream": [("nosuch", (69,))],  # classic: as in 3.10.8
    "strategy": [("some", (64, 65, 69, 70))],
    "stream": [("nosuch", (65, 69, 70)), ("classic", (65, 69, 70))],
    "--unit": [("fathoms", (64, 65))],
    "username": [("nobody", (65, 67, 69, 70))],
    "--vhost": [("nosuch", (0, 64, 65, 69, 70))],  # 3.10.8: some verbs do not look at it
    "write": [("[", (65, 69, 70))],
}
# verbs that take their time: one format of them is enough for every day
SLOW = {
    "await_startup",
    "consume_event_stream",
    "doctor",
    "maybe_stuck",
    "runtime_thread_stats",
    "shutdown",
    "stop",
    "wait",
}

# optional arguments that are better left out, and what then has to stand for them before one more
BARE: dict[str, list[str]] = {
    "explain": ["nosuch"],
    "help": ["list_users"],
    "shutdown": [],
    "stop": ["{folder}/pid"],
}
ENDS = {"shutdown", "stop", "stop_app"}  # the node's clients should have gone before

# -- answers that are not the usual ones: 0, or 64 where the application is in the wrong state ----

OK: dict[str, tuple[int, ...]] = {
    "explain": (64,),  # "walk" is none of its subjects
    "check_if_any_deprecated_features_are_used": (69,),  # a transient queue
    "forget_cluster_node": (69,),  # the node itself
    "doctor": (0, 69),  # what it finds on this machine
    "delete_member": (69,),  # the last one
    "delete_replica": (69,),
    "is_enabled": (0, 69),  # whichever case came before
    "observer": (69,),  # there is no Erlang to look into
    "remote_shell": (69,),
    "rename_cluster_node": (64,),  # only while it is down
    "rotate_logs": (69,),  # deprecated: says so
    "set_channel_interceptor_priorities": (69,),  # there is none to set
    "sync_queue": (69,),  # no mirrors
}
STOPPED: dict[str, tuple[int, ...]] = {
    "consume_event_stream": (69,),
    "check_if_metadata_store_is_initialized": (69,),
    "check_if_metadata_store_is_initialized_with_data": (69,),
    "drain": (69,),
    "doctor": (69,),
    "is_enabled": (0, 69),
    "revive": (69,),
    "await_startup": (69,),
    "check_running": (69,),
    "forget_cluster_node": (69,),
    "join_cluster": (70,),  # itself
    "rename_cluster_node": (64,),
    "resume_listeners": (64,),
    "suspend_listeners": (64,),
    "update_cluster_nodes": (70,),  # itself
}
ENDLESS = {"wait"}  # while the application is stopped: 3.10.8 waits without limit, too
DOWN: dict[str, tuple[int, ...]] = {
    "doctor": (69, 70),
    "directories": (64,),
    "disable": (0,),  # the file changes all the same
    "enable": (0,),
    "is_enabled": (64,),
    "list": (0,),
    "set": (0,),
    "force_boot": (0,),  # marks the files
    "list_feature_flags": (64,),  # as in 3.10.8
    "rename_cluster_node": (69,),
    "resolver_info": (69,),
    "wait": (75,),
}
MISSING: dict[str, tuple[int, ...]] = {"eval": (65,), "explain": (0,), "set": (0,)}
EXTRA: dict[str, tuple[int, ...]] = {
    "eval": (0,),  # _1, _2, ... in the expression
    "trace_off": (0,),  # ignored
    "trace_on": (0,),
}
# formats that are refused, and with what
FORMATS: dict[str, dict[str, int]] = {
    "command_line_arguments": {"json": 64},
    "runtime_thread_stats": {"json": 69},
}
ONLY = {"report": "report"}
SILENT = {"export_definitions"}  # even in json, as 3.10.8
REPORTS = {"doctor"}  # its findings are its result, and go to standard output
WARNS = {"maybe_stuck"}  # what would not be JSON
TELLS_STEPS: set[str] = set()
NO_TERM = {"maybe_stuck"}  # lines, as 3.10.8
MENTIONS_PYTHON: set[str] = set()
