"""Keys that RabbitMQ repeats under many prefixes: TLS, sockets, formats and files of the log.

Decides their names and what their members may hold, whatever the prefix. All are among the
`accepted` unless `keys` has them.
"""

from __future__ import annotations

from mqd.config.keys import CATEGORIES, LEVELS
from mqd.config.values import BOOLEAN, INTEGER, SIZE, Kind, one_of

_TLS_PREFIXES = """
    ssl_options definitions.tls management.ssl management.listener.ssl_opts prometheus.ssl
    log.syslog.ssl_options auth_ldap.ssl_options auth_oauth2.https auth_http.ssl_options
    cluster_formation.consul.ssl_options cluster_formation.etcd.ssl_options trust_store.ssl_options
"""
_TLS_MEMBERS = """
    verify fail_if_no_peer_cert cacertfile certfile cert keyfile key.RSAPrivateKey
    key.DSAPrivateKey key.PrivateKeyInfo cacerts.$name password depth dh dhfile honor_cipher_order
    honor_ecc_order crl_check reuse_sessions secure_renegotiate client_renegotiation psk_identity
    log_alert log_level bypass_pem_cache versions.$version ciphers.$cipher hostname_verification
    sni customize_hostname_check
"""
_SOCKET_PREFIXES = """
    tcp_listen_options mqtt.tcp_listen_options stomp.tcp_listen_options stream.tcp_listen_options
"""
_SOCKET_MEMBERS = """
    backlog nodelay buffer delay_send dontroute exit_on_close fd high_msgq_watermark high_watermark
    keepalive low_msgq_watermark low_watermark port priority recbuf send_timeout
    send_timeout_close sndbuf tos linger.on linger.timeout
"""
_FORMATTER_PREFIXES = "log.console log.file log.exchange log.syslog"
_FORMATTER_MEMBERS = """
    formatter formatter.time_format formatter.level_format formatter.single_line
    formatter.plaintext.format formatter.json.field_map formatter.json.verbosity_map
"""
_CATEGORY_MEMBERS = """
    file file.rotation.date file.rotation.size file.rotation.count rotation.date rotation.compress
    rotation.size rotation.count
"""
_CONSOLE_MEMBERS = " ".join(f"color_esc_seqs.{level}" for level in LEVELS if level != "none")


def _family(prefixes: str, members: str) -> list[str]:
    return [f"{prefix}.{member}" for prefix in prefixes.split() for member in members.split()]


def families() -> list[tuple[str, list[str]]]:
    """(area of `accepted`, keys)."""
    return [
        ("TLS", _family(_TLS_PREFIXES, _TLS_MEMBERS)),
        ("sockets", [*_SOCKET_PREFIXES.split(), *_family(_SOCKET_PREFIXES, _SOCKET_MEMBERS)]),
        ("log", _family(_FORMATTER_PREFIXES, _FORMATTER_MEMBERS)),
        ("log", _family("log.console", "use_colors " + _CONSOLE_MEMBERS)),
        ("log", _family(" ".join(f"log.{c}" for c in (*CATEGORIES, "default")), _CATEGORY_MEMBERS)),
    ]


_TRUTHS = """
    bypass_pem_cache client_renegotiation delay_send dontroute exit_on_close fail_if_no_peer_cert
    honor_cipher_order honor_ecc_order keepalive log_alert nodelay reuse_session reuse_sessions
    secure_renegotiate send_timeout_close single_line use_colors cache_refusals
    include_nodes_with_warnings only_log_warning prefer_imdsv2 protocol_strict_mode svc_addr_auto
    svc_addr_use_nodename use_autoscaling_group use_http_auth use_longname use_private_ip compress
"""
_NUMBERS = """
    backlog depth fd high_msgq_watermark high_watermark low_msgq_watermark low_watermark priority
    send_timeout tos cache_ttl deregister_after lock_timeout lock_wait_time max_empty_lines
    max_header_name_length max_header_value_length max_headers max_keepalive max_request_line_length
    node_ttl refresh_interval svc_port svc_ttl
"""
# What a member of a family may hold, whatever its prefix (observed: 3.10.8).
BY_MEMBER: dict[str, Kind] = {
    **dict.fromkeys(_TRUTHS.split(), BOOLEAN),
    **dict.fromkeys(_NUMBERS.split(), INTEGER),
    **dict.fromkeys(("buffer", "recbuf", "sndbuf"), SIZE),
    "crl_check": one_of("true", "false", "peer", "best_effort"),
    "formatter": one_of("plaintext", "json"),
    "level_format": one_of("lc", "uc", "lc3", "uc3", "lc4", "uc4"),
    "peer_verification": one_of("verify_peer", "verify_none"),
    "time_format": one_of(
        "rfc3339_space", "rfc3339_T", "epoch_usecs", "epoch_secs", "lager_default"
    ),
    "verify": one_of("verify_peer", "verify_none"),
}
