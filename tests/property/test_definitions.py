"""Files of definitions, broken at any place: told in words, and never half applied."""

from __future__ import annotations

import asyncio
import copy
import json
import zlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mqd.admin import definitions
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.machine import commands_of
from mqd.rpc.v1 import definitions_pb2 as pb
from tests.unit.admin.stand import Stand

VALID: dict[str, Any] = {
    "rabbit_version": "3.10.8",
    "vhosts": [
        {"name": "v", "limits": [], "metadata": {"description": "d", "tags": ["t"]}},
        {"name": "w", "metadata": {"default_queue_type": "quorum", "tags": "a,b"}},
    ],
    "users": [
        {
            "name": "u",
            "password_hash": "aGFzaA==",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["administrator"],
            "limits": {"max-channels": 3},
        },
        {"name": "plain", "password": "secret", "tags": ""},
    ],
    "permissions": [{"user": "u", "vhost": "v", "configure": "^c", "write": "", "read": ".*"}],
    "topic_permissions": [
        {"user": "u", "vhost": "v", "exchange": "amq.topic", "write": "w", "read": "r"}
    ],
    "parameters": [
        {
            "vhost": "v",
            "component": "operator_policy",
            "name": "o",
            "value": {
                "pattern": "x",
                "definition": [["max-length", 5]],
                "priority": 1,
                "apply-to": "queues",
            },
        },
        {"vhost": "v", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 5}},
    ],
    "global_parameters": [{"name": "g", "value": [["a", 1]]}],
    "policies": [
        {
            "vhost": "v",
            "name": "p",
            "pattern": "^q",
            "apply-to": "all",
            "definition": {"expires": 5000, "overflow": "drop-head"},
            "priority": 2,
        }
    ],
    "queues": [
        {
            "name": "q",
            "vhost": "v",
            "durable": True,
            "auto_delete": False,
            "type": "classic",
            "arguments": {"x-max-length": 5, "l": [1, {"a": True}]},
        },
        {"name": "t", "vhost": "v", "durable": False, "auto_delete": True, "arguments": {}},
        {
            "name": "s",
            "vhost": "w",
            "durable": True,
            "auto_delete": False,
            "arguments": {"x-queue-type": "stream", "x-max-age": "1D"},
        },
    ],
    "exchanges": [
        {
            "name": "x",
            "vhost": "v",
            "type": "headers",
            "durable": True,
            "auto_delete": False,
            "internal": False,
            "arguments": {"alternate-exchange": "y"},
        }
    ],
    "bindings": [
        {
            "source": "x",
            "vhost": "v",
            "destination": "q",
            "destination_type": "queue",
            "routing_key": "k",
            "arguments": {"x-match": "any", "n": 1.5},
        },
        {
            "source": "amq.topic",
            "vhost": "v",
            "destination": "x",
            "destination_type": "exchange",
            "routing_key": "#",
            "arguments": {},
        },
    ],
}
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from(["v", "w", "q", "(", "*", "quorum", "stream", "x" * 300, -1, 2**70]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    else:
        return []
    found = [(value, key) for key in keys]
    for key in keys:
        found += places(value[key])
    return found


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """The valid file with up to three places changed, dropped, or put in twice."""
    document = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(0, 3))):
        found = places(document)
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        match draw(st.sampled_from(["change", "drop", "twice"])):
            case "change":
                container[key] = draw(ODD)
            case "drop":
                del container[key]
            case "twice":
                if isinstance(container, list):
                    container.append(copy.deepcopy(container[key]))
    return document


def request(content: bytes, form: str) -> pb.ImportDefinitions:
    return pb.ImportDefinitions(file_path="f.json", format=form, content=content)


def shape(stand: Stand) -> Any:
    """Everything that is there."""
    live = {
        name: (sorted(vhost.exchanges), sorted(vhost.queues), len(vhost.bindings))
        for name, vhost in stand.broker.vhosts.items()
    }
    return list(commands_of(stand.metadata.state)), live


async def bring_in(stand: Stand, content: bytes, form: str = "json") -> MqdError | None:
    """What the file is refused with."""
    before = shape(stand)
    reply = await definitions.import_(stand.ctx, request(content, form))
    if not reply.refused:
        return None
    assert shape(stand) == before
    return MqdError(ErrorCode(reply.refused), reply.text)


@settings(max_examples=150, deadline=None)
@given(documents())
def test_broken_definitions(document: Any) -> None:
    async def scenario() -> None:
        stand, content = Stand(), json.dumps(document).encode()
        error = await bring_in(stand, content)
        if error is not None:
            assert error.detail
            assert "Error(" not in error.detail
            return
        after = shape(stand)
        export = pb.ExportDefinitions(format="json")
        first = await definitions.export(stand.ctx, export)
        other = Stand()
        assert await bring_in(other, first.content) is None
        second = await definitions.export(other.ctx, export)
        assert json.loads(second.content) == json.loads(first.content)
        if not any("password" in user for user in document.get("users", [])):
            assert await bring_in(stand, content) is None
            assert shape(stand) == after  # nothing is there twice

    asyncio.run(scenario())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_broken_bytes(data: st.DataObject) -> None:
    whole = json.dumps(VALID, indent=data.draw(st.sampled_from([None, 1]))).encode()
    at = data.draw(st.integers(0, len(whole)))
    noise = data.draw(st.binary(max_size=3))
    skipped = data.draw(st.integers(0, 3))
    content = whole[:at] + noise + whole[at + skipped :]
    if data.draw(st.booleans()):
        content = content[: at + len(noise)]

    async def scenario() -> None:
        error = await bring_in(Stand(), content)
        assert error is None or error.detail

    asyncio.run(scenario())


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_broken_terms(data: st.DataObject) -> None:
    async def scenario() -> None:
        stand, other = Stand(), Stand()
        hashed = VALID | {
            "users": VALID["users"][:1]
        }  # a password would have another salt each time
        assert await bring_in(stand, json.dumps(hashed).encode()) is None
        exported = await definitions.export(stand.ctx, pb.ExportDefinitions(format="erlang"))
        whole = bytearray(b"\x83" + zlib.decompress(exported.content[6:]))
        for _ in range(data.draw(st.integers(1, 3))):
            whole[data.draw(st.integers(1, len(whole) - 1))] = data.draw(st.integers(0, 255))
        error = await bring_in(other, bytes(whole), "erlang")
        assert error is None or error.detail

    asyncio.run(scenario())
