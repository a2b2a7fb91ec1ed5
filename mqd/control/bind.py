"""The catalogue as gRPC serves it: a handler for each rpc.

Decides how an rpc becomes a handler of the server; which function it is stands in
`mqd.admin.operations`. Never calls a function itself and holds no logic.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from mqd.admin.operations import Operation, needs, operations, services
from mqd.control.interceptors import Guard
from mqd.rpc.v1 import peer_pb2 as pb


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
    make = grpc.stream_unary_rpc_method_handler  # of a unary one gRPC reads the body before us
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
