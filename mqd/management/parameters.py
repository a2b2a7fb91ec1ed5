"""Runtime parameters of vhosts and of the cluster: reading, setting, clearing.

Decides their JSON; policies are not among them, operator policies are (observed: 3.10.8). What is
set is checked and set by `mqd.admin.parameters`.
"""

from __future__ import annotations

import json
from typing import Any

from mqd.admin import parameters
from mqd.definitions.checks import AS_OBJECT
from mqd.management import lists
from mqd.management.access import listed_vhosts
from mqd.management.calls import Answer, Call, bad_request, created, done, not_found
from mqd.policies.model import OPERATOR_POLICY, POLICY
from mqd.rpc.v1 import parameters_pb2 as pb

Json = Any
Key = tuple[str, str, str]

_SET_OTHERWISE = (POLICY, OPERATOR_POLICY)


def _row(call: Call, key: Key) -> dict[str, Json]:
    vhost, component, name = key
    return {
        "value": _value(call.state.parameters[key]),
        "vhost": vhost,
        "component": component,
        "name": name,
    }


def _value(value: Json) -> Json:
    """Without the mark of how it came."""
    if isinstance(value, dict) and AS_OBJECT in value:
        return {name: one for name, one in value.items() if name != AS_OBJECT}
    return value


async def listing(call: Call) -> Answer:
    """All, of a component, of a component in a vhost."""
    vhosts = [call.vhost.name] if "vhost" in call.names else listed_vhosts(call)
    component = call.names.get("component")
    keys = sorted(
        key
        for key in call.state.parameters
        if key[0] in vhosts and key[1] != POLICY and component in (None, key[1])
    )
    return await lists.of(call, keys, lambda key: _row(call, key))


def _key(call: Call) -> Key:
    key = (call.names["vhost"], call.names["component"], call.names["name"])
    if key not in call.state.parameters or key[1] == POLICY:
        raise not_found()
    return key


async def show(call: Call) -> Answer:
    return lists.one(call, _row(call, _key(call)))


async def put(call: Call) -> Answer:
    body = call.required("value")
    vhost, component, name = (call.names[key] for key in ("vhost", "component", "name"))
    if vhost not in call.state.vhosts:
        raise not_found("vhost_not_found")
    if component in _SET_OTHERWISE:
        raise bad_request("policies may not be set using this method")
    is_new = (vhost, component, name) not in call.state.parameters
    request = pb.SetParameter(
        vhost=vhost, component=component, name=name, value=json.dumps(body["value"])
    )
    await parameters.set_(call.ctx, request)
    return created(is_new)


async def delete(call: Call) -> Answer:
    vhost, component, name = _key(call)
    request = pb.ClearParameter(vhost=vhost, component=component, name=name)
    await parameters.clear(call.ctx, request)
    return done()


def _global_row(call: Call, name: str) -> dict[str, Json]:
    return {"name": name, "value": call.state.global_parameters[name]}


async def global_listing(call: Call) -> Answer:
    names = sorted(call.state.global_parameters)
    return await lists.of(call, names, lambda name: _global_row(call, name))


def _global(call: Call) -> str:
    name = call.names["name"]
    if name not in call.state.global_parameters:
        raise not_found()
    return name


async def show_global(call: Call) -> Answer:
    return lists.one(call, _global_row(call, _global(call)))


async def put_global(call: Call) -> Answer:
    value = call.required("value")["value"]
    name = call.names["name"]
    is_new = name not in call.state.global_parameters
    request = pb.SetGlobalParameter(name=name, value=json.dumps(value))
    await parameters.set_global(call.ctx, request)
    return created(is_new)


async def delete_global(call: Call) -> Answer:
    await parameters.clear_global(call.ctx, pb.ClearGlobalParameter(name=_global(call)))
    return done()
