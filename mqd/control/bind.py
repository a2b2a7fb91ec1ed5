"""Which function of `mqd.admin` serves which rpc: found by name, listed nowhere.

rpc `Users.ChangePassword` of users.proto is `mqd.admin.users.change_password`; where Python
already has the name (`List`, `Set`, `Import`), an underscore follows it. Never calls a function
itself and holds no logic: an rpc without a function is a programming error.
"""

from __future__ import annotations

import builtins
import importlib
import keyword
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

import mqd.rpc.v1
from mqd.control.interceptors import Guard
from mqd.rpc.v1 import peer_pb2 as pb
from mqd.rpc.v1 import verb_pb2

# verbs that the tool answers by itself; the handshake that comes before any operation
NOT_OPERATIONS: Final = ("encryption_pb2", "local_pb2", "peer_pb2")


class Operation(NamedTuple):
    """One rpc and where its function is."""

    method: MethodDescriptor
    module: str
    function: str

    def resolve(self) -> Callable[..., Any]:
        """The function. Raises AttributeError or ImportError when there is none."""
        function: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return function


def python_name(rpc: str) -> str:
    """ChangePassword → change_password; List → list_."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", rpc).lower()
    return f"{name}_" if keyword.iskeyword(name) or hasattr(builtins, name) else name


def services() -> Iterator[ServiceDescriptor]:
    """Every service of the catalogue that a node serves."""
    for found in pkgutil.iter_modules(mqd.rpc.v1.__path__):
        if found.name.endswith("_pb2") and found.name not in NOT_OPERATIONS:
            module = importlib.import_module(f"mqd.rpc.v1.{found.name}")
            yield from module.DESCRIPTOR.services_by_name.values()


def operations(service: ServiceDescriptor) -> Iterator[Operation]:
    """Every rpc of a service, in the order of its file."""
    area = PurePosixPath(service.file.name).stem
    for method in service.methods:
        yield Operation(method, f"mqd.admin.{area}", python_name(method.name))


def needs(method: MethodDescriptor) -> int:
    """The node state the rpc's verbs need; a running process alone when it has none."""
    verbs = method.GetOptions().Extensions[verb_pb2.verb]
    return verbs[0].needs if verbs else verb_pb2.VM


def handlers(guard: Guard) -> list[grpc.GenericRpcHandler[Any, Any]]:
    """What a gRPC server needs to serve the whole catalogue, and the handshake before it."""
    catalogue = [
        grpc.method_handlers_generic_handler(
            service.full_name,
            {
                operation.method.name: _handler(operation, guard)
                for operation in operations(service)
            },
        )
        for service in services()
    ]
    return [*catalogue, _handshake(guard)]


def _handshake(guard: Guard) -> grpc.GenericRpcHandler[Any, Any]:
    make = grpc.unary_unary_rpc_method_handler
    hello = guard.handshake("Peer.Hello", pb.HelloRequest.FromString, guard.peers.hello)
    prove = guard.handshake("Peer.Prove", pb.ProveRequest.FromString, guard.peers.prove)
    return grpc.method_handlers_generic_handler(
        "mqd.rpc.v1.Peer",
        {
            "Hello": make(hello, response_serializer=pb.HelloReply.SerializeToString),
            "Prove": make(prove, response_serializer=pb.ProveReply.SerializeToString),
        },
    )


def _handler(operation: Operation, guard: Guard) -> grpc.RpcMethodHandler[Any, Any]:
    """The request stays bytes here: the guard parses it, once the caller is admitted."""
    method = operation.method
    wrap, make = (
        (guard.streaming, grpc.unary_stream_rpc_method_handler)
        if method.server_streaming
        else (guard.unary, grpc.unary_unary_rpc_method_handler)
    )
    return make(
        wrap(
            method.full_name,
            needs(method),
            GetMessageClass(method.input_type).FromString,
            operation.resolve(),
        ),
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )
