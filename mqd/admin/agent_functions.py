"""What Pacemaker's agents and Puppet's providers have a node evaluate, beside what others ask too.

Decides what logins, the cluster's state and calls to all nodes answer. Never changes anything.
"""

from __future__ import annotations

from typing import Final

from mqd.admin.context import AdminContext, AppState
from mqd.auth.access import LoginRefused
from mqd.auth.sasl import Credentials
from mqd.erlang.evaluator import Library
from mqd.erlang.failures import TooLong
from mqd.erlang.terms import OK, Atom, Term, chars

_APP_STOPPED: Final = (
    "User '~s' authentication failed with internal error. Enable debug logs to see the real error."
)


def table(ctx: AdminContext) -> Library:
    """(module, function, arity) -> what answers it."""
    return {
        ("rabbit_access_control", "check_user_pass_login", 2): (
            lambda name, password: _login(ctx, name, password)
        ),
        ("rabbit_mnesia", "cluster_status_from_mnesia", 0): lambda: _cluster_status(ctx),
        ("ets", "select", 2): _table_patterns,
        ("gen_server", "multi_call", 3): lambda nodes, name, asked: _ask_all(
            ctx, nodes, name, asked
        ),
        ("gen_server", "multi_call", 4): lambda nodes, name, asked, within: _ask_all(
            ctx, nodes, name, asked
        ),
    }


def _login(ctx: AdminContext, name: Term, password: Term) -> Term:
    """{ok, User}, or {refused, Name, Format, Arguments}: who asks looks for `refused`."""
    if ctx.node.app_state is not AppState.RUNNING:
        return _refused(name, _APP_STOPPED)
    if not isinstance(name, bytes) or not isinstance(password, bytes):
        return _refused(name, "user '~s' - invalid credentials")
    username = name.decode(errors="surrogateescape")
    try:
        user = ctx.broker.auth.verify(Credentials(username, password))
    except LoginRefused as refusal:
        return _refused(name, str(refusal.detail).replace(f"'{username}'", "'~s'", 1))
    backends = [(Atom("rabbit_auth_backend_internal"), Atom("none"))]
    return (OK, (Atom("user"), name, [Atom(tag) for tag in user.tags], backends))


def _refused(name: Term, form: str) -> Term:
    return (Atom("refused"), name, chars(form), [name])


def _cluster_status(ctx: AdminContext) -> Term:
    """{ok, {All, Discs, Running}}."""
    if ctx.node.app_state is not AppState.RUNNING:
        return (Atom("error"), Atom("mnesia_not_running"))
    members = [Atom(ctx.node.name)]
    return (OK, (members, members, members))


def _table_patterns(table: Term, specification: list[Term]) -> Term:
    """Of Mnesia's tables, the shape of a user alone: by it the agent sees how old the node is."""
    key = (Atom("rabbit_user"), Atom("wild_pattern"))
    if table != "mnesia_gvar" or specification[0][0][0] != key:
        raise TooLong("no table is read but mnesia_gvar, and of it rabbit_user's pattern alone")
    return [(Atom("internal_user"), *[Atom("_")] * 5)]


def _ask_all(ctx: AdminContext, nodes: list[Term], name: Term, asked: Term) -> Term:
    """{Replies, BadNodes}: each node's view of partitions, of which a single node has none."""
    if (name, asked) != ("rabbit_node_monitor", "partitions"):
        raise TooLong("no process but rabbit_node_monitor is asked, and it for partitions alone")
    known = ctx.node.name if ctx.node.app_state is AppState.RUNNING else ""
    return (
        [(node, []) for node in nodes if node == known],
        [node for node in nodes if node != known],
    )
