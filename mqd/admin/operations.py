"""Which rpc of the catalogue is served by which function of `mqd.admin`: found by name.

rpc `Users.ChangePassword` of users.proto is `mqd.admin.users.change_password`; where Python
already has the name (`List`, `Set`, `Import`), an underscore follows it. Never calls a function
itself and holds no logic: an rpc without a function is a programming error. What tools call over
gRPC (`mqd.control.bind`) and what members call on each other (`serving`) is this one table.
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

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

import mqd.rpc.v1
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
