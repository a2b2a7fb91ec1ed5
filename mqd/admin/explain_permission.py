"""Whether a user may do something, and what would allow it.

Decides by the users and permissions as they are, in the order in which the broker asks: user,
virtual host, expression, routing key. The command it proposes keeps what was allowed before.
"""

from __future__ import annotations

import re
from shlex import quote
from typing import Final

from mqd.admin.explaining import Answer, Reason, at, near
from mqd.auth.permissions import DEFAULT_EXCHANGE, Kind, Permission, covers, expand
from mqd.metadata.machine import State

KINDS: Final[tuple[Kind, ...]] = ("configure", "write", "read")
_NEEDED_FOR: Final = {
    "configure": "declaring and deleting it",
    "write": "publishing to an exchange; binding a queue, or an exchange that is bound to",
    "read": "consuming, getting and purging; being the exchange that a binding starts from",
}


def explain(
    state: State, user: str, vhost: str, kind: Kind, name: str, routing_key: str = ""
) -> Answer:
    """routing_key: of a topic exchange; empty when there is none."""
    answer = Answer("permission", user, vhost, "refused", "")
    shown = name or DEFAULT_EXCHANGE
    said = f"user '{user}' may {{}}{kind} '{shown}' in vhost '{vhost}'"
    reason = _refusal(state, user, vhost, kind, shown)
    if reason is None and routing_key:
        reason = _topic_refusal(state, user, vhost, kind, shown, routing_key)
    if reason is not None:
        answer.says = said.format("not ")
        answer.reasons.append(reason)
    else:
        answer.outcome, answer.says = "allowed", said.format("")
        pattern = getattr(state.permissions[user, vhost], kind)
        answer.reasons.append(Reason("covered", f"the expression '{pattern}' covers the name"))
    answer.reasons.append(Reason("needed_for", f"{kind} is needed for {_NEEDED_FOR[kind]}"))
    return answer


def _refusal(state: State, user: str, vhost: str, kind: Kind, name: str) -> Reason | None:
    """None when there is none."""
    if user not in state.users:
        return Reason(
            "no_such_user",
            f"there is no user '{user}'{near(user, state.users)}",
            f"mqctl add_user {quote(user)}",
        )
    if vhost not in state.vhosts:
        return Reason(
            "no_such_vhost",
            f"there is no virtual host '{vhost}'{near(vhost, state.vhosts)}",
            f"mqctl add_vhost {quote(vhost)}",
        )
    granted = state.permissions.get((user, vhost))
    if granted is None:
        others = sorted(place for who, place in state.permissions if who == user)
        where = f"; it has some in {', '.join(map(repr, others))}" if others else ""
        return Reason(
            "no_permissions",
            f"the user has no permissions in that virtual host, and cannot connect to it{where}",
            _set(user, vhost, kind, name, Permission("", "", "")),
        )
    pattern = getattr(granted, kind)
    if covers(pattern, name):
        return None
    what = f"the expression for {kind} is '{pattern}', which does not cover '{name}'"
    if not pattern:
        what = f"the expression for {kind} is empty, and covers nothing"
    return Reason(
        "not_covered", what + _almost(pattern, name), _set(user, vhost, kind, name, granted)
    )


def _almost(pattern: str, name: str) -> str:
    """What is wrong with an expression that was meant for the name."""
    if not pattern:
        return ""
    if covers(f"(?i){pattern}", name):
        return "; upper and lower case count"
    bare = pattern.removeprefix("^").removesuffix("$")
    if bare != pattern and covers(bare, name):
        return "; without ^ and $ it would, for then it may be a part of the name"
    if "*" in bare and covers(bare.replace(".*", "*").replace("*", ".*"), name):
        return "; it is a regular expression: any text is .*, not *"
    return ""


def _set(user: str, vhost: str, kind: Kind, name: str, granted: Permission) -> str:
    """set_permissions with one expression widened by the name, and the others as they are."""
    exact = f"^{re.escape(name)}$"
    words = {each: getattr(granted, each) for each in KINDS}
    words[kind] = f"{words[kind]}|{exact}" if words[kind] else exact
    shown = " ".join(quote(words[each]) for each in KINDS)
    return f"mqctl set_permissions {at(vhost)} {quote(user)} {shown}"


def _topic_refusal(
    state: State, user: str, vhost: str, kind: Kind, exchange: str, routing_key: str
) -> Reason | None:
    granted = state.topic_permissions.get((user, vhost, exchange))
    if granted is None or kind == "configure":
        return None
    pattern = granted.write if kind == "write" else granted.read
    if covers(expand(pattern, user, vhost), routing_key):
        return None
    exact = f"^{re.escape(routing_key)}$"
    wider = f"{pattern}|{exact}" if pattern else exact
    write, read = (wider, granted.read) if kind == "write" else (granted.write, wider)
    return Reason(
        "topic_not_covered",
        f"the topic expression for {kind} on exchange '{exchange}' is '{pattern}', which does not "
        f"cover the routing key '{routing_key}'",
        f"mqctl set_topic_permissions {at(vhost)} {quote(user)} {quote(exchange)} "
        f"{quote(write)} {quote(read)}",
    )
