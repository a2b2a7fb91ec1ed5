"""Who may log in, and who may do what to which resource.

Decides by the users and permissions of a directory it is given, remembers its answers, and forgets
them all when told that something changed. Never stores a user: the metadata does. Texts as
RabbitMQ 3.10 logs them or sends them to the client.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Protocol

from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.auth import passwords
from mqd.auth.attempts import Attempts
from mqd.auth.permissions import (
    DEFAULT_EXCHANGE,
    Kind,
    Permission,
    TopicPermission,
    covers,
    expand,
)
from mqd.auth.sasl import Credentials
from mqd.auth.users import User
from mqd.errors import ErrorCode, MqdError
from mqd.limits import PERMISSION_CACHE_ENTRIES_MAX
from mqd.names import Resource

_BLANK_PASSWORD = (
    "user '{}' attempted to log in with a blank password, which is prohibited by the internal "  # noqa: S105
    "authN backend. To use TLS/x509 certificate-based authentication, see the "
    "rabbitmq_auth_mechanism_ssl plugin and configure the client to use the EXTERNAL "
    "authentication mechanism. Alternatively change the password for the user to be non-blank."
)


class Directory(Protocol):
    """Where users and permissions are kept."""

    def user(self, name: str) -> User | None: ...

    def permission(self, user: str, vhost: str) -> Permission | None: ...

    def topic_permission(self, user: str, vhost: str, exchange: str) -> TopicPermission | None: ...


class LoginRefused(MqdError):
    """A login that is not let in. `detail` is for the log: the peer is told less."""

    def __init__(self, username: str, reason: str) -> None:
        super().__init__(ErrorCode.CREDENTIALS, reason)
        self.username = username


class Access:
    """The one place that says yes or no.

    loopback_users: names that may log in from this machine alone, or a function that has them.
    version: grows with every change, so that others know when what they remember is stale.
    attempts: logins of clients since the start.
    """

    def __init__(
        self,
        directory: Directory,
        loopback_users: Callable[[], Container[str]] | Container[str] = frozenset(("guest",)),
    ) -> None:
        self.directory = directory
        self.loopback_users = loopback_users
        self.version = 0
        self.attempts = Attempts()
        self._answers: dict[tuple[str, ...], bool] = {}

    def changed(self) -> None:
        """Users or permissions are not what they were."""
        self.version += 1
        self._answers.clear()

    def authenticate(
        self, credentials: Credentials, peer_is_loopback: bool, address: str = ""
    ) -> User:
        """The user whose name and password these are. Raises LoginRefused.

        The address counts only once the password fits: whoever guesses learns nothing of it.
        """
        try:
            user = self.verify(credentials)
            if not peer_is_loopback and self.is_loopback_only(user.name):
                raise LoginRefused(user.name, f"user '{user.name}' can only connect via localhost")
        except LoginRefused:
            self.attempts.record(address, credentials.username, False)
            raise
        self.attempts.record(address, user.name, True)
        return user

    def verify(self, credentials: Credentials) -> User:
        """As `authenticate`, wherever the peer is."""
        name = credentials.username
        if not credentials.password:
            raise LoginRefused(name, _BLANK_PASSWORD.format(name))
        user = self.directory.user(name)
        if user is None or not passwords.fits(
            credentials.password, user.password_hash, user.hashing_algorithm
        ):
            raise LoginRefused(name, f"user '{name}' - invalid credentials")
        return user

    def is_loopback_only(self, name: str) -> bool:
        users = self.loopback_users
        return name in (users() if callable(users) else users)

    def vhost_allowed(self, user: str, vhost: str) -> bool:
        """Whether the user has any permissions in the vhost, be they empty."""
        return self.directory.permission(user, vhost) is not None

    def limits_of(self, user: str) -> dict[str, int]:
        """Of connections and channels, as they are now; empty for who is no user any more."""
        found = self.directory.user(user)
        return found.limits if found is not None else {}

    def check(self, user: str, resource: Resource, permission: Kind) -> bool:
        """Whether the user may configure, write to or read from the queue or exchange."""
        key = (user, permission, resource.kind, resource.vhost, resource.name)
        answer = self._answers.get(key)
        if answer is None:
            granted = self.directory.permission(user, resource.vhost)
            name = resource.name
            if not name and resource.kind == "exchange":
                name = DEFAULT_EXCHANGE
            answer = granted is not None and covers(getattr(granted, permission), name)
            self._remember(key, answer)
        return answer

    def check_topic(
        self, user: str, vhost: str, exchange: str, permission: Kind, routing_key: str
    ) -> bool:
        """Whether the user may write or read that routing key; yes where nothing is laid down.

        Asked of topic exchanges alone, and after `check`.
        """
        granted = self.directory.topic_permission(user, vhost, exchange)
        if granted is None:
            return True
        pattern = granted.write if permission == "write" else granted.read
        return covers(expand(pattern, user, vhost), routing_key)

    def require(self, user: str, resource: Resource, permission: Kind) -> None:
        """Raises ChannelError where `check` says no."""
        if not self.check(user, resource, permission):
            if not resource.name and resource.kind == "exchange":
                resource = Resource(resource.kind, resource.vhost, DEFAULT_EXCHANGE)
            raise ChannelError(
                ReplyCode.ACCESS_REFUSED, f"access to {resource} refused for user '{user}'"
            )

    def require_topic(
        self, user: str, vhost: str, exchange: str, permission: Kind, routing_key: str
    ) -> None:
        """Raises ChannelError where `check_topic` says no."""
        if not self.check_topic(user, vhost, exchange, permission, routing_key):
            raise ChannelError(
                ReplyCode.ACCESS_REFUSED,
                f"access to topic '{routing_key}' in exchange '{exchange}' in vhost '{vhost}' "
                f"refused for user '{user}'",
            )

    def _remember(self, key: tuple[str, ...], answer: bool) -> None:
        if len(self._answers) >= PERMISSION_CACHE_ENTRIES_MAX:
            self._answers.clear()
        self._answers[key] = answer
