"""Who may use the API for what.

Decides the login of a request, which tags let in at all and what each class of resources asks for
(RabbitMQ: rabbit_mgmt_util, is_authorized_*; texts observed: 3.10.8). Passwords and permissions are
judged by `mqd.auth`. Never knows a resource.
"""

from __future__ import annotations

import base64
import binascii
import enum
import ipaddress
from collections.abc import Iterable
from typing import Final

from mqd.auth.access import LoginRefused
from mqd.auth.sasl import Credentials
from mqd.auth.users import ADMINISTRATOR, User
from mqd.broker.broker import Broker
from mqd.management.calls import Call, Refused, not_authorised

MANAGEMENT: Final = "management"
POLICYMAKER: Final = "policymaker"
MONITORING: Final = "monitoring"
_LET_IN: Final = frozenset((ADMINISTRATOR, MONITORING, POLICYMAKER, MANAGEMENT))

NO_VHOST: Final = "User not authorised to access virtual host"
NOT_YOURS: Final = "User not authorised to access object"


class Need(enum.Enum):
    """What a resource asks of who is logged in."""

    NOTHING = "not even a login"
    LOGIN = "any of the four tags"
    VHOST = "access to the vhost of the path, or administrator"
    VISIBLE = "the same, or monitoring"
    POLICYMAKER = "policymaker of that vhost, or administrator"
    PARAMETERS = "policymaker or administrator"
    MONITOR = "monitoring or administrator"
    ADMINISTRATOR = "administrator"


class Unauthenticated(Refused):
    """Nobody said who they are."""

    def __init__(self) -> None:
        super().__init__(401, "not_authorized", None)


def credentials(header: str, given: str = "") -> Credentials | None:
    """What a request says who sends it. given: the parameter `auth` of a download link, where a
    browser sends no header. None: nothing that can be read."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        token = given
    if not token:
        return None
    try:
        name, colon, password = base64.b64decode(token.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    if not colon:
        return None
    return Credentials(name.decode("utf-8", "surrogateescape"), password)


def log_in(broker: Broker, who: Credentials, address: str, *, loopback: bool) -> User:
    """The user, who has a tag that lets in. Raises Refused."""
    auth = broker.auth
    try:
        user = auth.verify(who)
    except LoginRefused:
        auth.attempts.record(address, who.username, False)
        raise Refused(401, "not_authorized", "Login failed") from None
    if not loopback and auth.is_loopback_only(user.name):
        auth.attempts.record(address, who.username, False)
        raise not_authorised("User can only log in via localhost")
    auth.attempts.record(address, user.name, True)
    if not _LET_IN.intersection(user.tags):
        raise not_authorised("Not management user")
    return user


def is_administrator(user: User) -> bool:
    return ADMINISTRATOR in user.tags


def is_monitor(user: User) -> bool:
    return ADMINISTRATOR in user.tags or MONITORING in user.tags


def is_policymaker(user: User) -> bool:
    return ADMINISTRATOR in user.tags or POLICYMAKER in user.tags


def check(call: Call, need: Need) -> None:
    """Raises Refused."""
    user = call.user
    if need is Need.ADMINISTRATOR and not is_administrator(user):
        raise not_authorised("Not administrator user")
    if need is Need.MONITOR and not is_monitor(user):
        raise not_authorised("Not monitor user")
    if need is Need.PARAMETERS and not is_policymaker(user):
        raise not_authorised("Not policymaker user")
    if need is Need.POLICYMAKER and not is_policymaker(user):
        raise not_authorised(NOT_YOURS)
    if need in (Need.VHOST, Need.VISIBLE, Need.POLICYMAKER) and "vhost" in call.names:
        if need is Need.VISIBLE and is_monitor(user):
            return
        name = call.names["vhost"]
        if name in call.broker.vhosts and not (
            is_administrator(user) or call.broker.auth.vhost_allowed(user.name, name)
        ):
            raise not_authorised(NOT_YOURS if need is Need.POLICYMAKER else NO_VHOST)


def login_vhosts(call: Call) -> list[str]:
    """Names of vhosts that the user has permissions in, sorted."""
    allowed = call.broker.auth.vhost_allowed
    return [name for name in sorted(call.broker.vhosts) if allowed(call.user.name, name)]


def visible_vhosts(call: Call) -> list[str]:
    """Those the user may see: all for monitoring and administrator."""
    return sorted(call.broker.vhosts) if is_monitor(call.user) else login_vhosts(call)


def listed_vhosts(call: Call) -> list[str]:
    """Whose queues, exchanges and so on a listing of all vhosts has."""
    return sorted(call.broker.vhosts) if is_administrator(call.user) else login_vhosts(call)


def own(call: Call, rows: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Connections, channels: those of the user, all for who may see them."""
    if is_monitor(call.user):
        return list(rows)
    return [row for row in rows if row.get("user") == call.user.name]


def is_loopback(address: str) -> bool:
    """Whether it is this machine's own."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
