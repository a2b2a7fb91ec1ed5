"""What a doctor looks at, seen by the node itself.

Decides which facts the running node knows better than its files: what it uses, where it listens,
which limits it has now. Never judges them: the tool does, in one table for nodes that run and for
those that do not.
"""

from __future__ import annotations

from hashlib import sha256

from mqd.admin.context import AdminContext, AppState
from mqd.metadata.commands import RAM
from mqd.rpc.v1 import doctor_pb2 as pb


async def examine(ctx: AdminContext, request: pb.ExamineRequest) -> pb.Facts:
    """Files and machine first: that takes the longest, and the rest is to be of one moment."""
    node = ctx.node
    facts = await node.checkup()
    facts.node, facts.pid, facts.app = node.name, node.pid, node.app_state.value
    facts.cookie.hash = sha256(node.cookie.encode()).hexdigest()
    memory, disk, files = node.memory(), node.disk(), node.file_descriptors()
    facts.memory.total_bytes = memory.machine_bytes
    facts.memory.limit_bytes = memory.limit_bytes
    facts.memory.used_bytes = memory.total_bytes
    facts.disc.free_bytes, facts.disc.limit_bytes = disk.free_bytes, disk.limit_bytes
    facts.open_files.used = files.used
    facts.plugins.running[:] = sorted(plugin.name for plugin in node.running_plugins)
    for member in node.membership.facts(node.app_state).members:
        (facts.ram_members if member.kind == RAM else facts.disc_members).append(member.name)
    if node.app_state is not AppState.RUNNING:
        facts.memory.ClearField("used_bytes")
    return facts
