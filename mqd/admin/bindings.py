"""Bindings: listing, the implicit ones to the default exchange included. Never binds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from mqd.admin.context import AdminContext
from mqd.admin.homes import is_reached
from mqd.admin.listing import batches, columns, fields_of
from mqd.broker.bindings import default_binding
from mqd.broker.definitions import BindingDefinition
from mqd.broker.snapshots import BINDING
from mqd.broker.vhost import VHost
from mqd.rpc.v1 import bindings_pb2 as pb


async def list_(ctx: AdminContext, request: pb.ListBindings) -> AsyncIterator[pb.BindingRows]:
    """Rows of a vhost's bindings, those of the default exchange first (observed: 3.10.8).

    A vhost that does not exist has none.
    """
    chosen = columns(request.columns, BINDING)
    vhost = ctx.broker.vhosts.get(request.vhost)
    if vhost is None:
        return
    bindings = [one for one in _all(vhost) if is_reached(ctx, vhost, one)]
    rows = (fields_of(pb.BindingRow, chosen, binding) for binding in bindings)
    for batch in batches(rows, lambda chunk: pb.BindingRows(rows=chunk)):
        yield batch


def _all(vhost: VHost) -> Iterator[BindingDefinition]:
    for name in sorted(vhost.queues):
        yield default_binding(vhost.name, name)
    yield from vhost.bindings
