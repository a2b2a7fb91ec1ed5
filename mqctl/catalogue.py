"""The verbs, read from the catalogue: the options of the generated descriptors.

Decides which rpc a typed name means in a scope, and turns its options into what the pipeline
needs. Imports only the area of the verb asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from mqctl.options import Kind
from mqd.rpc.v1 import index

CTL, DIAG, PLUG, QUE, STR, UPG = 1, 2, 3, 4, 5, 6
NONE, VM, APP, STOPPED = 1, 2, 3, 4
LOCAL = "local"

# google.protobuf.FieldDescriptor.cpp_type
_KINDS: dict[int, Kind] = {5: "float", 6: "float", 7: "boolean", 9: "string"}


class Argument(NamedTuple):  # a dataclass would import inspect: 7 ms of every call
    """A field of a request that the command line fills."""

    field: str
    kind: Kind
    repeated: bool
    spec: Any  # verb_pb2.Arg

    @property
    def flag(self) -> str:
        """Switch key: dashes are underscores."""
        return (self.spec.flag or self.field).replace("-", "_")

    @property
    def shown(self) -> str:
        """Its name in usage texts."""
        return self.spec.name or self.field

    @property
    def required(self) -> bool:
        """A positional that must be there; passwords may come from standard input."""
        return not (self.repeated or self.spec.optional or self.spec.password)


class Verb:
    """One verb: its options, its request and its rows."""

    def __init__(self, area: str, service: str, rpc: str, position: int) -> None:
        self.area = area
        self.service = service
        self.rpc = rpc
        module = importlib.import_module(f"mqd.rpc.v1.{area}_pb2")
        verb_pb2 = importlib.import_module("mqd.rpc.v1.verb_pb2")
        self._arg_option = verb_pb2.arg
        self._column_option = verb_pb2.column
        self.method = module.DESCRIPTOR.services_by_name[service].methods_by_name[rpc]
        self.spec = self.method.GetOptions().Extensions[verb_pb2.verb][position]
        self.name: str = self.spec.name
        self.needs: int = self.spec.needs

    @property
    def path(self) -> str:
        """gRPC path."""
        return f"/{self.method.containing_service.full_name}/{self.rpc}"

    @cached_property
    def request_class(self) -> Any:
        """Generated class of the request."""
        return self.method.input_type._concrete_class

    @cached_property
    def reply_class(self) -> Any:
        """Generated class of the reply, or of one row."""
        return self.method.output_type._concrete_class

    @property
    def streams(self) -> bool:
        """Rows come one by one."""
        return bool(self.method.server_streaming)

    @cached_property
    def arguments(self) -> list[Argument]:
        """Everything the command line may fill, in field order."""
        found = []
        for field in self.method.input_type.fields:
            spec = field.GetOptions().Extensions[self._arg_option]
            if not spec.hidden:
                kind = _KINDS.get(field.cpp_type, "integer")
                found.append(Argument(field.name, kind, field.is_repeated, spec))
        return found

    @property
    def positionals(self) -> list[Argument]:
        """In the order they are typed."""
        return [a for a in self.arguments if a.spec.positional]

    @property
    def columns_argument(self) -> Argument | None:
        """The argument that takes info keys, when the verb has one."""
        return next((a for a in self.arguments if a.spec.columns), None)

    @property
    def switches(self) -> dict[str, Kind]:
        """The verb's own switches."""
        return {a.flag: a.kind for a in self.arguments if self._is_switch(a)}

    @property
    def aliases(self) -> dict[str, str]:
        """One-letter forms of them."""
        return {a.spec.short: a.flag for a in self.arguments if a.spec.short}

    @staticmethod
    def _is_switch(argument: Argument) -> bool:
        spec = argument.spec
        return not (spec.positional or spec.vhost or spec.columns)

    @cached_property
    def columns(self) -> dict[str, tuple[Any, int]]:
        """Info key -> (field of the row message, kind)."""
        found = {}
        for field in self.method.output_type.fields_by_name["rows"].message_type.fields:
            spec = field.GetOptions().Extensions[self._column_option]
            if not spec.hidden:
                found[spec.name or field.name] = (field, spec.kind)
        return found

    @property
    def default_columns(self) -> list[str]:
        """Info keys shown when none are asked for."""
        return str(self.spec.default_columns).split() or list(self.columns)


def names(scope: int, of_plugins: bool = False) -> list[str]:
    """Every verb of a scope. of_plugins: also those of plugins that are not enabled."""
    return [
        name
        for name, places in index.VERBS.items()
        if any(scope in place[4] for place in places) and (of_plugins or _is_there(name))
    ]


def _is_there(name: str) -> bool:
    """Whether the plugin that brings a verb is enabled, for a verb that a plugin brings."""
    plugin = index.OF_PLUGINS.get(name)
    if plugin is None:
        return True
    from mqctl.failures import Failure
    from mqctl.places import enabled_plugins_file
    from mqctl.verbs.enabled_file import read

    try:
        return plugin in read(enabled_plugins_file())
    except Failure:
        return False


def find(name: str, scope: int, of_plugins: bool = False) -> Verb | None:
    """The verb of that name in a scope. of_plugins: as for `names`."""
    if not of_plugins and not _is_there(name):
        return None
    for area, service, rpc, position, scopes in index.VERBS.get(name, ()):
        if scope in scopes:
            return Verb(area, service, rpc, position)
    return None


def every(scope: int, of_plugins: bool = False) -> Iterator[Verb]:
    """All verbs of a scope: imports all areas. of_plugins: as for `names`."""
    for name in names(scope, of_plugins):
        verb = find(name, scope, of_plugins=True)
        if verb is not None:
            yield verb
