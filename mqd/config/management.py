"""The management plugin's part of the configuration: its keys and what they mean together.

Decides names, kinds, defaults and meanings, and which of the two forms of a listener counts (the
older `management.listener` wins where it is given, as in 3.10.8). Never opens anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mqd import limits
from mqd.config.schema import Key
from mqd.config.values import BOOLEAN, DURATION, NATURAL, NONE, PORT, SIZE, STRING, one_of

if TYPE_CHECKING:
    from mqd.config.load import Configuration

PORT_DEFAULT = 15672
_POLICY = "script-src 'self' 'unsafe-eval' 'unsafe-inline'; object-src 'self'"


@dataclass(frozen=True, slots=True)
class ManagementSettings:
    """host "": every address. path_prefix: without a slash at its end. headers: sent with every
    answer. interval_ms: between two samples of what rates are computed from."""

    host: str = ""
    port: int = PORT_DEFAULT
    path_prefix: str = ""
    headers: tuple[tuple[str, str], ...] = (("content-security-policy", _POLICY),)
    cors_origins: tuple[str, ...] = ()
    cors_max_age_s: int = 1800
    compress: bool = True
    idle_timeout_ms: int = 60_000
    body_bytes_max: int = limits.HTTP_BODY_BYTES_MAX
    basic_auth: bool = True
    stats: bool = True
    queue_totals: bool = False
    rates_mode: str = "basic"
    session_min: int = 480
    operator_policy_changes: bool = True
    interval_ms: int = 5000


ROWS: tuple[Key, ...] = (
    Key("management.tcp.port", PORT, PORT_DEFAULT, "Port of the management HTTP API"),
    Key("management.tcp.ip", STRING, None, "Its address; default all addresses"),
    Key("management.tcp.compress", BOOLEAN, True, "Compress long answers for who takes that"),
    Key("management.tcp.idle_timeout", DURATION, 60_000,
        "How long a connection without a request is kept", "ms"),
    Key("management.listener.port", PORT, None, "The port, by its name of old; wins"),
    Key("management.listener.ip", STRING, None, "The address, by its name of old; wins"),
    Key("management.path_prefix", STRING, None, "What stands before /api in every path"),
    Key("management.http.max_body_size", SIZE, limits.HTTP_BODY_BYTES_MAX,
        "Largest body of a request", "bytes"),
    Key("management.login_session_timeout", NATURAL, 480, "Life of the login cookie", "min"),
    Key("management.disable_basic_auth", BOOLEAN, False, "Refuse names and passwords"),
    Key("management.disable_stats", BOOLEAN, False, "Leave rates and counts of messages out"),
    Key("management.enable_queue_totals", BOOLEAN, False, "But keep totals of queues then"),
    Key("management.rates_mode", one_of("basic", "detailed", "none"), "basic",
        "none: no rates; detailed is as basic here"),
    Key("management.cors.allow_origins", NONE, None, "none: pages of no other site"),
    Key("management.cors.allow_origins.$name", STRING, None,
        "A site whose pages may use the API; * for all"),
    Key("management.cors.max_age", NATURAL, 1800, "How long browsers remember that", "s"),
    Key("management.csp.policy", STRING, _POLICY, "Header content-security-policy"),
    Key("management.hsts.policy", STRING, None, "Header strict-transport-security"),
    Key("management.headers.content_type_options", STRING, None, "Header x-content-type-options"),
    Key("management.headers.xss_protection", STRING, None, "Header x-xss-protection"),
    Key("management.headers.frame_options", STRING, None, "Header x-frame-options"),
    Key("management.restrictions.operator_policy_changes.disabled", BOOLEAN, False,
        "Refuse changes of operator policies"),
    Key("collect_statistics_interval", DURATION, 5000,
        "Time between two samples of what rates are computed from", "ms"),
)  # fmt: skip

_HEADERS = (
    ("content-security-policy", "management.csp.policy"),
    ("strict-transport-security", "management.hsts.policy"),
    ("x-content-type-options", "management.headers.content_type_options"),
    ("x-xss-protection", "management.headers.xss_protection"),
    ("x-frame-options", "management.headers.frame_options"),
)


def management_settings(config: Configuration) -> ManagementSettings:
    """All of it."""

    def number(name: str) -> int:
        value = config[name]
        assert isinstance(value, int)
        return value

    def text(name: str) -> str | None:
        value = config[name]
        return None if value is None else str(value)

    named = "management.listener."
    of_old = config.is_set(named + "port") or config.is_set(named + "ip")
    where = named if of_old else "management.tcp."
    port = config[where + "port"]
    prefix = (text("management.path_prefix") or "").strip("/")
    origins = config.family("management.cors.allow_origins.$name")
    return ManagementSettings(
        host=_host(text(where + "ip")),
        port=port if isinstance(port, int) else PORT_DEFAULT,
        path_prefix=f"/{prefix}" if prefix else "",
        headers=tuple((name, value) for name, key in _HEADERS if (value := text(key))),
        cors_origins=tuple(map(str, origins.values())),
        cors_max_age_s=number("management.cors.max_age"),
        compress=config["management.tcp.compress"] is True,
        idle_timeout_ms=number("management.tcp.idle_timeout"),
        body_bytes_max=number("management.http.max_body_size"),
        basic_auth=config["management.disable_basic_auth"] is not True,
        stats=config["management.disable_stats"] is not True,
        queue_totals=config["management.enable_queue_totals"] is True,
        rates_mode=str(config["management.rates_mode"]),
        session_min=number("management.login_session_timeout"),
        operator_policy_changes=(
            config["management.restrictions.operator_policy_changes.disabled"] is not True
        ),
        interval_ms=max(number("collect_statistics_interval"), limits.HTTP_SAMPLE_MS_MIN),
    )


def _host(given: str | None) -> str:
    """Of a socket: what means every address is none."""
    return "" if given in (None, "::", "0.0.0.0") else str(given)  # noqa: S104
