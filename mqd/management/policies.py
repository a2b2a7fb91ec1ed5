"""Policies and operator policies: reading, setting, clearing.

Decides their JSON. What is set is checked and set by `mqd.admin.policies`.
"""

from __future__ import annotations

import html
import json
from typing import Any, Final

from mqd.admin import policies
from mqd.errors import MqdError
from mqd.management import fields, lists
from mqd.management.access import listed_vhosts
from mqd.management.calls import (
    Answer,
    Call,
    Handler,
    Refused,
    bad_request,
    created,
    done,
    not_found,
)
from mqd.management.status import of_failure
from mqd.policies.model import OPERATOR_POLICY, POLICY, policy_of
from mqd.policies.terms import format_json
from mqd.rpc.v1 import policies_pb2 as pb

Json = Any
Key = tuple[str, str, str]  # of the runtime parameter: vhost, component, name

_PRIORITY_MAX: Final = 2**63 - 1


def _row(call: Call, key: Key) -> dict[str, Json]:
    vhost, _, name = key
    policy = policy_of(name, call.state.parameters[key])
    return {
        "vhost": vhost,
        "name": name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": dict(policy.definition),
        "priority": policy.priority,
    }


async def _listed(call: Call, component: str) -> Answer:
    vhosts = [call.vhost.name] if "vhost" in call.names else listed_vhosts(call)
    keys = sorted(key for key in call.state.parameters if key[1] == component and key[0] in vhosts)
    return await lists.of(call, keys, lambda key: _row(call, key))


def _key(call: Call, component: str) -> Key:
    """Of one that is there. Raises Refused."""
    key = (call.names["vhost"], component, call.names["name"])
    if key not in call.state.parameters:
        raise not_found()
    return key


def listing(component: str) -> Handler:
    """Of all vhosts, or of one."""

    async def handle(call: Call) -> Answer:
        return await _listed(call, component)

    return handle


def show(component: str) -> Handler:
    """One."""

    async def handle(call: Call) -> Answer:
        return lists.one(call, _row(call, _key(call, component)))

    return handle


def put(component: str) -> Handler:
    """Set or replace."""

    async def handle(call: Call) -> Answer:
        _check_allowed(call, component)
        body = call.required("pattern", "definition")
        vhost, name = call.names["vhost"], call.names["name"]
        if vhost not in call.state.vhosts:
            raise not_found("vhost_not_found")
        definition = body["definition"]
        if not isinstance(definition, dict):
            raise bad_request("definition_not_object")
        request = (pb.SetPolicy if component == POLICY else pb.SetOperatorPolicy)(
            vhost=vhost,
            name=name,
            pattern=fields.text(body, "pattern"),
            definition=json.dumps(definition),
            priority=_priority(body.get("priority", 0)),
            apply_to=fields.text(body, "apply-to", "all"),
        )
        is_new = (vhost, component, name) not in call.state.parameters
        if isinstance(request, pb.SetPolicy):
            await _set(call, request)
        else:
            await policies.set_operator(call.ctx, request)
        return created(is_new)

    return handle


async def _set(call: Call, request: pb.SetPolicy) -> None:
    """In its refusals what was sent is escaped, in no others (observed: 3.10.8)."""
    try:
        await policies.set_(call.ctx, request)
    except MqdError as error:
        found = of_failure(error)
        found.reason = html.escape(found.reason or "", quote=False)
        raise found from error


def _priority(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _PRIORITY_MAX:
        shown = html.escape(format_json(value), quote=False)
        text = f"Validation failed\n\npriority should be a number, actually was {shown}\n"
        raise bad_request(text)
    return value


def delete(component: str) -> Handler:
    """Clear."""

    async def handle(call: Call) -> Answer:
        _check_allowed(call, component)
        vhost, _, name = _key(call, component)
        if component == POLICY:
            await policies.clear(call.ctx, pb.ClearPolicy(vhost=vhost, name=name))
        else:
            await policies.clear_operator(call.ctx, pb.ClearOperatorPolicy(vhost=vhost, name=name))
        return done()

    return handle


def _check_allowed(call: Call, component: str) -> None:
    if component == OPERATOR_POLICY and not call.node.management.operator_policy_changes:
        raise Refused(405, "method_not_allowed", None)
