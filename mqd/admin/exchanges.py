"""Exchanges: listing. Never declares or deletes one: clients do."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mqd.admin.context import AdminContext
from mqd.admin.listing import batches, columns, fields_of
from mqd.broker.snapshots import EXCHANGE
from mqd.rpc.v1 import exchanges_pb2 as pb


async def list_(ctx: AdminContext, request: pb.ListExchanges) -> AsyncIterator[pb.ExchangeRows]:
    """Rows of a vhost's exchanges, by name. A vhost that does not exist has none."""
    chosen = columns(request.columns, EXCHANGE)
    vhost = ctx.broker.vhosts.get(request.vhost)
    if vhost is None:
        return
    exchanges = sorted(vhost.exchanges.values(), key=lambda exchange: exchange.definition.name)
    rows = (fields_of(pb.ExchangeRow, chosen, exchange) for exchange in exchanges)
    for batch in batches(rows, lambda chunk: pb.ExchangeRows(rows=chunk)):
        yield batch
