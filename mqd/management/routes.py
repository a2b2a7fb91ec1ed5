"""The table of the API: path, method, what it needs, who answers.

Decides which requests there are and what each asks of who is logged in. Never answers one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mqd.management import about, health, overview
from mqd.management.access import Need
from mqd.management.calls import Handler


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

ROUTES: Final = tuple(row._replace(path=f"/api{row.path}") for row in (*ABOUT, *HEALTH))
