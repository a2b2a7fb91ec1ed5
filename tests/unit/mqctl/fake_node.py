"""A node that answers from a table: the real gRPC library on a control socket, nothing behind it.

With it the tests run mqctl's whole pipeline, wire included, against a peer that is not ours.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from mqctl.main import scope_of
from mqctl.pipeline import Pipeline

Answer = Callable[[Any, grpc.ServicerContext], Any]
STATUS = {
    "APP_STOPPED": grpc.StatusCode.FAILED_PRECONDITION,
    "APP_RUNNING": grpc.StatusCode.FAILED_PRECONDITION,
    "NO_SUCH_USER": grpc.StatusCode.NOT_FOUND,
    "NO_SUCH_VHOST": grpc.StatusCode.NOT_FOUND,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "INVALID_ARGUMENT": grpc.StatusCode.INVALID_ARGUMENT,
    "CREDENTIALS": grpc.StatusCode.UNAUTHENTICATED,
    "ACCESS_REFUSED": grpc.StatusCode.UNAUTHENTICATED,
    "INTERNAL": grpc.StatusCode.INTERNAL,
}


def refuse(context: grpc.ServicerContext, code: str, detail: str = "") -> None:
    """End the call as the control server does."""
    context.set_trailing_metadata((("mqd-code", code),))
    context.abort(STATUS[code], detail)


class FakeNode:
    """answers: "Service/Method" -> (request class, function). The function returns a message, or an
    iterator of them for a listing."""

    def __init__(self, directory: Path, name: str = "fake@localhost") -> None:
        self.name = name
        self.metadata: list[dict[str, str]] = []
        self.requests: list[Any] = []
        self._answers: dict[str, grpc.RpcMethodHandler] = {}
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers((self,))  # type: ignore[arg-type]
        self.server.add_insecure_port(f"unix:{directory}/{name}.sock")
        self.server.start()

    def answer(
        self, method: str, request_class: Any, function: Answer, stream: bool = False
    ) -> None:
        """Register one method."""

        def once(request: Any, context: grpc.ServicerContext) -> Any:
            self._note(request, context)
            context.send_initial_metadata(())
            return function(request, context)

        def many(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            self._note(request, context)
            context.send_initial_metadata(())
            yield from function(request, context)

        maker = (
            grpc.unary_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
        )
        self._answers["/mqd.rpc.v1." + method] = maker(
            many if stream else once,
            request_deserializer=request_class.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def refuse(self, method: str, code: str, detail: str = "") -> None:
        """Register a method that is refused before it is admitted."""

        def refused(request: bytes, context: grpc.ServicerContext) -> Any:
            refuse(context, code, detail)

        self._answers["/mqd.rpc.v1." + method] = grpc.unary_unary_rpc_method_handler(refused)

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """What gRPC asks for a handler."""
        return self._answers.get(call.method)

    def _note(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.metadata.append({str(k): str(v) for k, v in context.invocation_metadata()})


class Outcome:
    """What a call printed and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- out\n{self.out}--- err\n{self.err}"


def call(*argv: str, tool: str = "mqctl", stdin: str = "") -> Outcome:
    """Run a tool inside this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        from unittest.mock import patch

        stack.enter_context(patch("sys.stdin", io.StringIO(stdin)))
        code = Pipeline(tool, scope_of(tool), out, err).run(list(argv))
    return Outcome(code, out.getvalue(), err.getvalue())
