"""Definitions: everything out, or a file of them in.

Decides what a file that is refused is answered with. Never reads or writes the file itself: the
tool does, on the machine it runs on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from mqd.admin import values
from mqd.admin.context import AdminContext
from mqd.admin.importing import ERLANG, Import, read, topology_of
from mqd.definitions import terms, text
from mqd.definitions.export import export as exported
from mqd.definitions.faults import Refused
from mqd.definitions.plan import object_count
from mqd.definitions.words import of_refused
from mqd.errors import MqdError
from mqd.rpc.v1 import definitions_pb2 as pb
from mqd.rpc.v1 import values_pb2

STDIN = "standard input"


async def export(ctx: AdminContext, request: pb.ExportDefinitions) -> pb.ExportedDefinitions:
    """A whole file."""
    document = exported(ctx.metadata.state, topology_of(ctx.broker), ctx.node.version)
    if request.format.lower() == ERLANG:
        return pb.ExportedDefinitions(content=terms.encode(document))
    return pb.ExportedDefinitions(content=text.to_json(document).encode())


async def import_(ctx: AdminContext, request: pb.ImportDefinitions) -> pb.ImportedDefinitions:
    """All of it, or nothing: the reply says why. INVALID_ARGUMENT, PRECONDITION_FAILED,
    NO_SUCH_VHOST, and INTERNAL for what is no object."""
    result = pb.ImportedDefinitions()
    async for progress in import_shown(ctx, request):
        result = progress.result
    return result


async def import_shown(
    ctx: AdminContext, request: pb.ImportDefinitions
) -> AsyncIterator[pb.ImportProgress]:
    """The same, telling how far it is."""
    try:
        async for progress in _steps(ctx, request):
            yield progress
    except MqdError as error:
        refused = values_pb2.ErrorCode.ValueType(error.code)
        result = pb.ImportedDefinitions(refused=refused, text=values.text(error.detail))
        yield pb.ImportProgress(result=result)


async def _steps(
    ctx: AdminContext, request: pb.ImportDefinitions
) -> AsyncIterator[pb.ImportProgress]:
    source = request.file_path or STDIN
    shape = request.format.lower()
    located = request.located or (shape != ERLANG and b"\n" in request.content.strip())
    document = read(request.content, shape, source, located=located)
    total = object_count(document)
    steps = Import(document, ctx.metadata, ctx.broker)
    try:
        async for done in steps.steps():
            yield pb.ImportProgress(done=done, total=total)
    except Refused as refused:
        lines = b"" if shape == ERLANG else request.content
        raise of_refused(refused, source, lines, located=located) from refused
    result = pb.ImportedDefinitions(left_out=map(values.text, steps.plan.left_out))
    yield pb.ImportProgress(done=total, total=total, result=result)
