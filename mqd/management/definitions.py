"""Definitions over HTTP: everything, or one vhost's part, out and in.

Decides the shape of an export, which is not quite that of the tools (observed: 3.10.8; metadata of
vhosts is kept, which 3.10.8 leaves out here), and how a body becomes a file of definitions. What is
exported and imported is decided by `mqd.definitions` and `mqd.admin.definitions`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from mqd.admin import definitions, reports
from mqd.admin.importing import topology_of
from mqd.definitions.export import Pairs, Topology, export
from mqd.errors import ErrorCode, MqdError
from mqd.management import lists
from mqd.management.calls import Answer, Call, Refused, bad_request, done, not_found, parse
from mqd.management.status import of_failure
from mqd.metadata.machine import State
from mqd.rpc.v1 import definitions_pb2 as pb

Json = Any
Object = dict[str, Json]

_OF_VHOST: Final = ("parameters", "policies", "queues", "exchanges", "bindings")
_WITHOUT_VHOST: Final = ("queues", "exchanges", "bindings")
_ORDER: Final = (
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "parameters",
    "global_parameters",
    *_OF_VHOST[1:],
)
_READ: Final = (
    "vhosts",
    "users",
    "permissions",
    "topic_permissions",
    "parameters",
    "global_parameters",
)
_UNREADABLE: Final = "failed_to_parse_json"


async def _document(call: Call) -> Object:
    """Of this moment; made on a thread, for it may be long."""
    topology = topology_of(call.broker)
    return await asyncio.to_thread(_made, _copied(call.state), topology, call.node.version)


def _copied(state: State) -> State:
    """What is in it never changes; what it has does."""
    copied = State()
    for name in _READ:
        setattr(copied, name, dict(getattr(state, name)))
    return copied


def _made(state: State, topology: Topology, version: str) -> Object:
    """The tools' export without what is only theirs."""
    found = _plain(export(state, topology, version))
    for vhost in found["vhosts"]:
        vhost.pop("limits", None)  # they are parameters
    for queue in found["queues"]:
        queue.pop("type", None)
    for exchange in found["exchanges"]:
        exchange["internal"] = False
    return {
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": reports.PRODUCT,
        "product_version": version,
        **{key: found[key] for key in _ORDER},
    }


def _plain(value: Json) -> Json:
    """Lists of pairs are objects here."""
    if isinstance(value, Pairs):
        return {key: _plain(one) for key, one in value}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


async def show(call: Call) -> Answer:
    """Everything; with `download`, as a file of that name."""
    return await _shown(call, await _document(call))


async def show_vhost(call: Call) -> Answer:
    """What is in one vhost; some of it without its name (observed: 3.10.8)."""
    name = call.names["vhost"]
    if name not in call.state.vhosts:
        raise bad_request("vhost_not_found")
    found = await _document(call)
    document: Object = {"rabbit_version": call.node.version}
    for key in _OF_VHOST:
        inside = [one for one in found[key] if one["vhost"] == name]
        if key in _WITHOUT_VHOST:
            inside = [
                {field: value for field, value in one.items() if field != "vhost"} for one in inside
            ]
        document[key] = inside
    return await _shown(call, document)


async def _shown(call: Call, document: Object) -> Answer:
    answer = await asyncio.to_thread(lists.one, call, document)
    name = call.query.get("download")
    if name:
        kept = "".join(c for c in name if c.isalnum() or c in "-_.@+ ")
        answer.headers["content-disposition"] = f"attachment; filename={kept}"
    return answer


async def put(call: Call) -> Answer:
    """All of it, or nothing."""
    content = _content(call)
    if not isinstance(_parsed(content), dict):
        raise bad_request(_UNREADABLE)
    await _import(call, content)
    return done()


async def put_vhost(call: Call) -> Answer:
    """The same into one vhost; what is of the cluster is passed over."""
    name = call.names["vhost"]
    if name not in call.state.vhosts:
        raise not_found("vhost_not_found")
    document = _parsed(_content(call))
    if not isinstance(document, dict):
        raise bad_request(_UNREADABLE)
    inside: Object = {}
    for key in _OF_VHOST:
        found = document.get(key, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise bad_request(f"{key} must be a list of objects")
        inside[key] = [{**one, "vhost": name} for one in found]
    await _import(call, json.dumps(inside).encode())
    return done()


async def _import(call: Call, content: bytes) -> None:
    request = pb.ImportDefinitions(content=content, format="json")
    result = await definitions.import_(call.ctx, request)
    if result.refused:
        code = ErrorCode(result.refused)
        found = of_failure(MqdError(code, result.text))
        raise found if found.status < 500 and found.status != 404 else bad_request(result.text)


def _parsed(content: bytes) -> Json:
    try:
        return parse(content)
    except Refused:
        raise bad_request(_UNREADABLE) from None


def _content(call: Call) -> bytes:
    """The body, or the file in a form."""
    kind = call.headers.get("Content-Type", "application/json")
    name = kind.partition(";")[0].strip().lower()
    if name == "application/json":
        return call.body
    if name != "multipart/form-data":
        raise Refused(415, "unsupported_media_type", None)
    from email.parser import BytesParser  # seldom asked for

    head = b"Content-Type: " + kind.encode("ascii", "replace") + b"\r\n\r\n"
    form = BytesParser().parsebytes(head + call.body)
    for part in form.walk():
        if (
            not part.is_multipart()
            and part.get_param("name", header="content-disposition") == "file"
        ):
            found = part.get_payload(decode=True)
            return found if isinstance(found, bytes) else b""
    raise bad_request(_UNREADABLE)
