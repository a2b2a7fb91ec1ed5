"""The table of the API: path, method, what it needs, who answers.

Decides which requests there are and what each asks of who is logged in. Never answers one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mqd.management import (
    about,
    bindings,
    channels,
    connections,
    consumers,
    definitions,
    exchanges,
    health,
    limits,
    messages,
    nodes,
    overview,
    parameters,
    permissions,
    policies,
    queues,
    users,
    vhosts,
)
from mqd.management.access import Need
from mqd.management.calls import Handler
from mqd.policies.model import OPERATOR_POLICY, POLICY


class Route(NamedTuple):
    """path: what stands in braces is a name."""

    method: str
    path: str
    need: Need
    handler: Handler


@dataclass(slots=True)
class Resource:
    """All that can be done with what a path names."""

    parts: tuple[str, ...]
    handlers: dict[str, Route] = field(default_factory=dict)
    is_download: bool = False  # a link that a browser follows by itself

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order in which 3.10.8 names them."""
        reads = ("HEAD", "GET") if "GET" in self.handlers else ()
        changes = [one for one in ("PUT", "POST", "DELETE") if one in self.handlers]
        return (*reads, *changes, "OPTIONS")

    @property
    def allow(self) -> str:
        return ", ".join(self.methods)

    def names(self, parts: Sequence[str]) -> dict[str, str] | None:
        """What the braces stand for; None when the path is another one."""
        found: dict[str, str] = {}
        for pattern, part in zip(self.parts, parts, strict=True):
            if pattern.startswith("{"):
                found[pattern[1:-1]] = part
            elif pattern != part:
                return None
        return found


class Routes:
    """The table, to find a path in. Of two that fit, the one whose words stand first counts."""

    def __init__(self, rows: Iterable[Route]) -> None:
        self._by_length: dict[int, list[Resource]] = {}
        found: dict[str, Resource] = {}
        for row in rows:
            if row.path not in found:
                parts = tuple(row.path.split("/")[1:])
                found[row.path] = Resource(parts, is_download="definitions" in row.path)
            found[row.path].handlers[row.method] = row
        for resource in found.values():
            self._by_length.setdefault(len(resource.parts), []).append(resource)
        for resources in self._by_length.values():
            resources.sort(key=lambda one: [part.startswith("{") for part in one.parts])

    def find(self, parts: Sequence[str]) -> tuple[Resource, dict[str, str]] | None:
        """parts: of a path, decoded."""
        for resource in self._by_length.get(len(parts), ()):
            names = resource.names(parts)
            if names is not None:
                return resource, names
        return None


_GET, _PUT, _POST, _DELETE = "GET", "PUT", "POST", "DELETE"
_BINDINGS = "/exchanges/{vhost}/{exchange}/bindings"
_ENDS = "/bindings/{vhost}/e/{source}/{kind}/{destination}"
_TOPIC, _TOPICS = "/topic-permissions/{vhost}/{user}", "{vhost}/topic-permissions"
_POLICY = "/policies/{vhost}/{name}"
_OPERATOR = "/operator-policies/{vhost}/{name}"
_PARAMETER = "/parameters/{component}/{vhost}/{name}"
_GLOBAL = "/global-parameters/{name}"

ABOUT: Final[tuple[Route, ...]] = (
    Route(_GET, "/overview", Need.LOGIN, overview.show),
    Route(_GET, "/whoami", Need.LOGIN, about.whoami),
    Route(_GET, "/auth", Need.NOTHING, about.auth),
    Route(_POST, "/login", Need.NOTHING, about.login),
    Route(_GET, "/extensions", Need.LOGIN, about.extensions),
    Route(_GET, "/cluster-name", Need.LOGIN, about.cluster_name),
    Route(_PUT, "/cluster-name", Need.ADMINISTRATOR, about.set_cluster_name),
    Route(_GET, "/feature-flags", Need.ADMINISTRATOR, about.list_feature_flags),
    Route(_PUT, "/feature-flags/{name}/enable", Need.ADMINISTRATOR, about.enable_feature_flag),
    Route(_GET, "/auth/attempts/{node}", Need.MONITOR, about.auth_attempts),
    Route(_DELETE, "/auth/attempts/{node}", Need.ADMINISTRATOR, about.reset_auth_attempts),
    Route(_GET, "/auth/attempts/{node}/source", Need.MONITOR, about.auth_attempts_by_source),
    Route(_DELETE, "/auth/attempts/{node}/source", Need.ADMINISTRATOR, about.reset_auth_attempts),
    Route(_DELETE, "/reset", Need.ADMINISTRATOR, about.reset),
    Route(_DELETE, "/reset/{node}", Need.ADMINISTRATOR, about.reset),
    Route(_POST, "/rebalance/queues", Need.ADMINISTRATOR, about.rebalance),
)

_CHECK, _AGE = "/health/checks", "{within}/{unit}"
HEALTH: Final[tuple[Route, ...]] = (
    Route(_GET, "/aliveness-test/{vhost}", Need.VHOST, health.aliveness),
    Route(_GET, "/healthchecks/node", Need.LOGIN, health.node),
    Route(_GET, "/healthchecks/node/{node}", Need.LOGIN, health.node),
    Route(_GET, f"{_CHECK}/alarms", Need.LOGIN, health.alarms),
    Route(_GET, f"{_CHECK}/local-alarms", Need.LOGIN, health.local_alarms),
    Route(_GET, f"{_CHECK}/certificate-expiration/{_AGE}", Need.LOGIN, health.certificates),
    Route(_GET, f"{_CHECK}/port-listener/{{port}}", Need.LOGIN, health.port_listener),
    Route(_GET, f"{_CHECK}/protocol-listener/{{protocol}}", Need.LOGIN, health.protocol_listener),
    Route(_GET, f"{_CHECK}/virtual-hosts", Need.LOGIN, health.virtual_hosts),
    Route(_GET, f"{_CHECK}/node-is-mirror-sync-critical", Need.LOGIN, health.mirror_sync_critical),
    Route(_GET, f"{_CHECK}/node-is-quorum-critical", Need.LOGIN, health.quorum_critical),
)

OBJECTS: Final[tuple[Route, ...]] = (
    Route(_GET, "/nodes", Need.MONITOR, nodes.listing),
    Route(_GET, "/nodes/{node}", Need.MONITOR, nodes.show),
    Route(_GET, "/nodes/{node}/memory", Need.MONITOR, nodes.memory),
    Route(_GET, "/nodes/{node}/memory/relative", Need.MONITOR, nodes.memory_relative),
    Route(_GET, "/connections", Need.LOGIN, connections.listing),
    Route(_GET, "/connections/{connection}", Need.LOGIN, connections.show),
    Route(_DELETE, "/connections/{connection}", Need.LOGIN, connections.close),
    Route(_GET, "/connections/username/{user}", Need.LOGIN, connections.of_user),
    Route(_DELETE, "/connections/username/{user}", Need.LOGIN, connections.close_of_user),
    Route(_GET, "/connections/{connection}/channels", Need.LOGIN, channels.of_connection),
    Route(_GET, "/channels", Need.LOGIN, channels.listing),
    Route(_GET, "/channels/{channel}", Need.LOGIN, channels.show),
    Route(_GET, "/consumers", Need.LOGIN, consumers.listing),
    Route(_GET, "/consumers/{vhost}", Need.LOGIN, consumers.listing),
    Route(_GET, "/exchanges", Need.LOGIN, exchanges.listing),
    Route(_GET, "/exchanges/{vhost}", Need.VHOST, exchanges.listing),
    Route(_GET, "/exchanges/{vhost}/{exchange}", Need.VHOST, exchanges.show),
    Route(_PUT, "/exchanges/{vhost}/{exchange}", Need.VHOST, exchanges.put),
    Route(_DELETE, "/exchanges/{vhost}/{exchange}", Need.VHOST, exchanges.delete),
    Route(_POST, "/exchanges/{vhost}/{exchange}/publish", Need.VHOST, messages.publish),
    Route(_GET, f"{_BINDINGS}/source", Need.VHOST, bindings.of_source),
    Route(_GET, f"{_BINDINGS}/destination", Need.VHOST, bindings.of_destination),
    Route(_GET, "/queues", Need.LOGIN, queues.listing),
    Route(_GET, "/queues/{vhost}", Need.VHOST, queues.listing),
    Route(_GET, "/queues/{vhost}/{queue}", Need.VHOST, queues.show),
    Route(_PUT, "/queues/{vhost}/{queue}", Need.VHOST, queues.put),
    Route(_DELETE, "/queues/{vhost}/{queue}", Need.VHOST, queues.delete),
    Route(_GET, "/queues/{vhost}/{queue}/bindings", Need.VHOST, bindings.of_queue),
    Route(_DELETE, "/queues/{vhost}/{queue}/contents", Need.VHOST, queues.purge),
    Route(_POST, "/queues/{vhost}/{queue}/get", Need.VHOST, messages.get),
    Route(_POST, "/queues/{vhost}/{queue}/actions", Need.ADMINISTRATOR, queues.act),
    Route(_GET, "/bindings", Need.LOGIN, bindings.listing),
    Route(_GET, "/bindings/{vhost}", Need.VHOST, bindings.listing),
    Route(_GET, _ENDS, Need.VHOST, bindings.between),
    Route(_POST, _ENDS, Need.VHOST, bindings.create),
    Route(_GET, f"{_ENDS}/{{key}}", Need.VHOST, bindings.show),
    Route(_DELETE, f"{_ENDS}/{{key}}", Need.VHOST, bindings.delete),
)

RULES: Final[tuple[Route, ...]] = (
    Route(_GET, "/vhosts", Need.LOGIN, vhosts.listing),
    Route(_GET, "/vhosts/{vhost}", Need.ADMINISTRATOR, vhosts.show),
    Route(_PUT, "/vhosts/{vhost}", Need.ADMINISTRATOR, vhosts.put),
    Route(_DELETE, "/vhosts/{vhost}", Need.ADMINISTRATOR, vhosts.delete),
    Route(_POST, "/vhosts/{vhost}/start/{node}", Need.ADMINISTRATOR, vhosts.start),
    Route(_GET, "/vhosts/{vhost}/permissions", Need.ADMINISTRATOR, permissions.of_vhost),
    Route(_GET, f"/vhosts/{_TOPICS}", Need.ADMINISTRATOR, permissions.topics_of_vhost),
    Route(_GET, "/vhosts/{vhost}/connections", Need.VHOST, connections.of_vhost),
    Route(_GET, "/vhosts/{vhost}/channels", Need.VHOST, channels.of_vhost),
    Route(_GET, "/users", Need.ADMINISTRATOR, users.listing),
    Route(_GET, "/users/without-permissions", Need.ADMINISTRATOR, users.without_permissions),
    Route(_POST, "/users/bulk-delete", Need.ADMINISTRATOR, users.bulk_delete),
    Route(_GET, "/users/{user}", Need.ADMINISTRATOR, users.show),
    Route(_PUT, "/users/{user}", Need.ADMINISTRATOR, users.put),
    Route(_DELETE, "/users/{user}", Need.ADMINISTRATOR, users.delete),
    Route(_GET, "/users/{user}/permissions", Need.ADMINISTRATOR, permissions.of_user),
    Route(_GET, "/users/{user}/topic-permissions", Need.ADMINISTRATOR, permissions.topics_of_user),
    Route(_GET, "/permissions", Need.ADMINISTRATOR, permissions.listing),
    Route(_GET, "/permissions/{vhost}/{user}", Need.ADMINISTRATOR, permissions.show),
    Route(_PUT, "/permissions/{vhost}/{user}", Need.ADMINISTRATOR, permissions.put),
    Route(_DELETE, "/permissions/{vhost}/{user}", Need.ADMINISTRATOR, permissions.delete),
    Route(_GET, "/topic-permissions", Need.ADMINISTRATOR, permissions.topics),
    Route(_GET, _TOPIC, Need.ADMINISTRATOR, permissions.show_topics),
    Route(_PUT, _TOPIC, Need.ADMINISTRATOR, permissions.put_topic),
    Route(_DELETE, _TOPIC, Need.ADMINISTRATOR, permissions.delete_topics),
    Route(_DELETE, f"{_TOPIC}/{{exchange}}", Need.ADMINISTRATOR, permissions.delete_topics),
    Route(_GET, "/policies", Need.LOGIN, policies.listing(POLICY)),
    Route(_GET, "/policies/{vhost}", Need.VHOST, policies.listing(POLICY)),
    Route(_GET, _POLICY, Need.POLICYMAKER, policies.show(POLICY)),
    Route(_PUT, _POLICY, Need.POLICYMAKER, policies.put(POLICY)),
    Route(_DELETE, _POLICY, Need.POLICYMAKER, policies.delete(POLICY)),
    Route(_GET, "/operator-policies", Need.LOGIN, policies.listing(OPERATOR_POLICY)),
    Route(_GET, "/operator-policies/{vhost}", Need.VHOST, policies.listing(OPERATOR_POLICY)),
    Route(_GET, _OPERATOR, Need.POLICYMAKER, policies.show(OPERATOR_POLICY)),
    Route(_PUT, _OPERATOR, Need.ADMINISTRATOR, policies.put(OPERATOR_POLICY)),
    Route(_DELETE, _OPERATOR, Need.ADMINISTRATOR, policies.delete(OPERATOR_POLICY)),
    Route(_GET, "/parameters", Need.POLICYMAKER, parameters.listing),
    Route(_GET, "/parameters/{component}", Need.POLICYMAKER, parameters.listing),
    Route(_GET, "/parameters/{component}/{vhost}", Need.POLICYMAKER, parameters.listing),
    Route(_GET, _PARAMETER, Need.POLICYMAKER, parameters.show),
    Route(_PUT, _PARAMETER, Need.POLICYMAKER, parameters.put),
    Route(_DELETE, _PARAMETER, Need.POLICYMAKER, parameters.delete),
    Route(_GET, "/global-parameters", Need.POLICYMAKER, parameters.global_listing),
    Route(_GET, _GLOBAL, Need.POLICYMAKER, parameters.show_global),
    Route(_PUT, _GLOBAL, Need.POLICYMAKER, parameters.put_global),
    Route(_DELETE, _GLOBAL, Need.POLICYMAKER, parameters.delete_global),
    Route(_GET, "/vhost-limits", Need.LOGIN, limits.of_vhosts),
    Route(_GET, "/vhost-limits/{vhost}", Need.VISIBLE, limits.of_vhosts),
    Route(_PUT, "/vhost-limits/{vhost}/{name}", Need.ADMINISTRATOR, limits.put_vhost),
    Route(_DELETE, "/vhost-limits/{vhost}/{name}", Need.ADMINISTRATOR, limits.delete_vhost),
    Route(_GET, "/user-limits", Need.LOGIN, limits.of_users),
    Route(_GET, "/user-limits/{user}", Need.LOGIN, limits.of_users),
    Route(_PUT, "/user-limits/{user}/{name}", Need.ADMINISTRATOR, limits.put_user),
    Route(_DELETE, "/user-limits/{user}/{name}", Need.ADMINISTRATOR, limits.delete_user),
    Route(_GET, "/definitions", Need.ADMINISTRATOR, definitions.show),
    Route(_POST, "/definitions", Need.ADMINISTRATOR, definitions.put),
    Route(_GET, "/all-configuration", Need.ADMINISTRATOR, definitions.show),
    Route(_POST, "/all-configuration", Need.ADMINISTRATOR, definitions.put),
    Route(_GET, "/definitions/{vhost}", Need.ADMINISTRATOR, definitions.show_vhost),
    Route(_POST, "/definitions/{vhost}", Need.ADMINISTRATOR, definitions.put_vhost),
)

_ROWS: Final = (*ABOUT, *HEALTH, *OBJECTS, *RULES)
ROUTES: Final = tuple(row._replace(path=f"/api{row.path}") for row in _ROWS)
