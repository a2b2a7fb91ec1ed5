"""The edge: HTTP in, calls out.

Decides what is a request to the API and in which order it is checked (path, method, login, tag, as
3.10.8 does), which headers every answer has, and how many requests are under way at a time. Never
knows a resource: `routes` does. One of the places that catch everything: what nobody expected is
logged with its traceback and answered without one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from mqd import limits
from mqd.admin.context import NodeControl
from mqd.amqp.replies import AmqpError
from mqd.auth.users import User
from mqd.errors import ErrorCode, MqdError
from mqd.management import access
from mqd.management.access import Need, Unauthenticated
from mqd.management.calls import Answer, Call, Refused, encoded
from mqd.management.pages import PAGE
from mqd.management.routes import ROUTES, Resource, Routes
from mqd.management.samples import Samples
from mqd.management.status import of_amqp, of_failure

_SHUTDOWN_S: Final = 5.0
_COMPRESS_BYTES: Final = 300
_REALM: Final = 'Basic realm="RabbitMQ Management"'
_NOBODY: Final = User("")
_READS: Final = ("GET", "HEAD")
_KNOWN_METHODS: Final = frozenset(
    (*_READS, "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")
)

_log = logging.getLogger(__name__)


class Server:
    """Listens from open to close."""

    def __init__(self, node: NodeControl) -> None:
        self._node = node
        self._settings = node.management
        self.samples = Samples(node, self._settings)
        self._routes = Routes(ROUTES)
        self._running = 0
        self._http = web.Server(
            self._serve,
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=self._settings.idle_timeout_ms / 1000,
        )
        self._listening: asyncio.Server | None = None

    async def open(self) -> None:
        """Raises MqdError when the port cannot be had."""
        host, port = self._settings.host, self._settings.port
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(
                self._protocol, host or None, port, backlog=1024
            )
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno and not isinstance(error, socket.gaierror):
                reason = os.strerror(error.errno)
            raise MqdError(
                ErrorCode.UNAVAILABLE,
                f"cannot listen on {host or '*'}:{port}: {reason}; set management.tcp.port",
            ) from error
        self.samples.start()

    def _protocol(self) -> asyncio.Protocol:
        """Of a connection that came."""
        if len(self._http.connections) >= limits.HTTP_CONNECTIONS_MAX:
            return _Full()
        return self._http()

    async def close(self) -> None:
        """What is being answered is, a bounded time."""
        self.samples.stop()
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        await self._http.shutdown(_SHUTDOWN_S)

    @property
    def ports(self) -> list[int]:
        """Each once, though there may be a socket for each kind of address."""
        if self._listening is None:
            return []
        return list(dict.fromkeys(one.getsockname()[1] for one in self._listening.sockets))

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: Any,
        writer: Any,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            asyncio.get_running_loop(),
            client_max_size=self._settings.body_bytes_max,
        )

    # -- one request --------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._running += 1
        try:
            if self._running > limits.HTTP_CALLS_MAX:
                text = f"{limits.HTTP_CALLS_MAX} requests are under way: try again"
                raise Refused(503, "unavailable", text)
            async with asyncio.timeout(limits.HTTP_CALL_S):
                answer = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - the edge: see the charter
            answer = _refusal(request, error)
        finally:
            self._running -= 1
        return self._response(request, answer)

    async def _answer(self, request: web.BaseRequest) -> Answer:
        path, _, asked = request.raw_path.partition("?")
        prefix = self._settings.path_prefix
        if not path.startswith(prefix):
            raise Refused(404, "not_found", None)
        path = path[len(prefix) :]
        if path in ("/api", "/api/"):
            return Answer(301, headers={"location": f"{prefix}/api/index.html"})
        if path in ("", "/", "/index.html", "/api/index.html"):
            return _page(request, prefix)
        found = self._routes.find(_parts(path))
        if found is None:
            raise Refused(404, "Object Not Found", "Not Found")
        resource, names = found
        method = request.method
        if method not in resource.methods:
            if method not in _KNOWN_METHODS:
                raise Refused(501, "not_implemented", None)
            return Answer(405, headers={"allow": resource.allow})
        if method == "OPTIONS":
            return Answer(200, headers={"allow": resource.allow, **self._preflight(request)})
        params = _query(asked)
        call = await self._admitted(request, resource, names, params)
        handler = resource.handlers["GET" if method == "HEAD" else method].handler
        if method in _READS and not _takes_json(request.headers.get("Accept", "")):
            raise Refused(406, "not_acceptable", None)
        is_known = resource.handlers["GET" if method == "HEAD" else method].need is not Need.NOTHING
        settings = self._settings
        limit = settings.body_bytes_max if is_known else limits.HTTP_BODY_OF_NOBODY_BYTES_MAX
        call.body = await _body(request, limit)
        return await handler(call)

    async def _admitted(
        self,
        request: web.BaseRequest,
        resource: Resource,
        names: Mapping[str, str],
        params: Mapping[str, str],
    ) -> Call:
        method = "GET" if request.method == "HEAD" else request.method
        need = resource.handlers[method].need
        address = _address(request)
        call = Call(self._node, self.samples, _NOBODY, names, params, request.headers, b"", address)
        if self._node.broker is None:
            raise Refused(503, "unavailable", "the broker application does not run")
        if need is Need.NOTHING:
            return call
        header = request.headers.get("Authorization", "")
        given = params.get("auth", "") if resource.is_download else ""
        who = access.credentials(header, given)
        if who is None or not self._settings.basic_auth:
            raise Unauthenticated
        call.user = access.log_in(
            self._node.broker, who, address, loopback=access.is_loopback(address)
        )
        call.password = who.password
        access.check(call, need)
        return call

    # -- its answer ---------------------------------------------------------------------------

    def _response(self, request: web.BaseRequest, answer: Answer) -> web.Response:
        headers = {
            "server": "Cowboy",  # what some scripts look for
            "cache-control": "no-cache",
            "vary": "accept, accept-encoding, origin",
            **dict(self._settings.headers),
            **self._cors(request),
            **answer.headers,
        }
        if answer.body is None:
            return web.Response(status=answer.status, headers=headers)
        response = web.Response(
            status=answer.status,
            headers={**headers, "content-type": answer.content_type},
            body=answer.body,
        )
        if self._settings.compress and len(answer.body) > _COMPRESS_BYTES:
            response.enable_compression()
        return response

    def _cors(self, request: web.BaseRequest) -> dict[str, str]:
        origin = request.headers.get("Origin")
        allowed = self._settings.cors_origins
        if origin is None or not (origin in allowed or "*" in allowed):
            return {}
        return {
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
        }

    def _preflight(self, request: web.BaseRequest) -> dict[str, str]:
        if not self._cors(request):
            return {}
        found = {"access-control-max-age": str(self._settings.cors_max_age_s)}
        for asked, told in (
            ("Access-Control-Request-Method", "access-control-allow-methods"),
            ("Access-Control-Request-Headers", "access-control-allow-headers"),
        ):
            if value := request.headers.get(asked):
                found[told] = value
        return found


class _Full(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _body(request: web.BaseRequest, limit: int) -> bytes:
    """Raises Refused for one that is longer."""
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limit:
            text = f"the body is longer than {limit} bytes: see management.http.max_body_size"
            raise Refused(413, "payload_too_large", text)
        parts.append(part)
    return b"".join(parts)


def _refusal(request: web.BaseRequest, error: Exception) -> Answer:
    if isinstance(error, MqdError):
        error = of_failure(error)
    elif isinstance(error, AmqpError):
        error = of_amqp(error)
    elif isinstance(error, UnicodeEncodeError):  # a name that is kept as text
        error = Refused(400, "bad_request", "a name in the path or the body is not UTF-8")
    elif isinstance(error, TimeoutError):
        error = Refused(503, "timeout", "the answer took too long")
    if not isinstance(error, Refused):
        _log.error("%s %s failed", request.method, request.raw_path[:1000], exc_info=error)
        error = Refused(500, "internal_error", "the node failed to carry this out; see its log")
    is_login = isinstance(error, Unauthenticated) or error.error == "not_authorized"
    headers = {"www-authenticate": _REALM} if is_login else {}
    if error.reason is None:
        return Answer(error.status, headers=headers)
    body = encoded({"error": error.error, "reason": error.reason})
    return Answer(error.status, body, headers)


def _page(request: web.BaseRequest, prefix: str) -> Answer:
    if request.method not in _READS:
        return Answer(405, headers={"allow": "HEAD, GET"})
    page = PAGE.replace("{prefix}", prefix)
    return Answer(200, page.encode(), content_type="text/html; charset=utf-8")


def _parts(path: str) -> list[str]:
    """What is between slashes, decoded; a slash at the end means nothing."""
    parts = path.split("/")[1:]
    if parts and not parts[-1]:
        parts.pop()
    return [unquote(part, errors="surrogateescape") for part in parts]


def _query(text: str) -> dict[str, str]:
    """The first value of each parameter."""
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise Refused(400, "bad_request", "too many parameters") from None
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _takes_json(accept: str) -> bool:
    kinds = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    return not accept.strip() or any(
        kind in ("application/json", "application/*", "*/*") for kind in kinds
    )


def _address(request: web.BaseRequest) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return str(peer[0]) if peer else ""
