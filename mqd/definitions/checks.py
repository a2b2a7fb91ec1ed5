"""Values of policies and runtime parameters in a file.

Decides what is wrong with one, in the words of the verbs that set them, and the two shapes that the
definition of an operator policy has in files: an object, and the list of pairs that 3.10.8 exports
and itself refuses to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from mqd.amqp.terms import format_string
from mqd.auth.patterns import InvalidPattern, compile_pattern
from mqd.policies.limits import LIMITS, OF_VHOST, VHOST_LIMITS
from mqd.policies.limits import faults as limit_faults
from mqd.policies.model import APPLY_TO, OPERATOR_POLICY
from mqd.policies.terms import format_json
from mqd.policies.validation import faults

Json = Any

# in the value of an operator policy whose definition was imported as an object: it is exported as
# one, and any other as a list of pairs (observed: 3.10.8)
AS_OBJECT: Final = "definition-as-object"


def policy_value(value: Json, *, operator: bool) -> Json:
    """The value of a policy with defaults filled in, its definition an object."""
    if not isinstance(value, dict):
        return value
    definition = value.get("definition")
    if operator and isinstance(definition, list) and definition and all(map(_is_pair, definition)):
        definition = dict(definition)
    elif isinstance(definition, dict):
        definition = dict(sorted(definition.items()))
    marked = {AS_OBJECT: True} if operator and isinstance(value.get("definition"), dict) else {}
    return {
        "pattern": value.get("pattern"),
        "apply-to": value.get("apply-to", "all"),
        "definition": definition,
        "priority": value.get("priority", 0),
        **marked,
    }


def _is_pair(value: Json) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def policy_faults(value: Json, *, operator: bool) -> list[str]:
    """Everything that is wrong with what `policy_value` made, a line each."""
    if not isinstance(value, dict):
        return [f"a policy must be an object: {format_json(value)}"]
    pattern, apply_to = value["pattern"], value["apply-to"]
    priority, definition = value["priority"], value["definition"]
    found = []
    if definition is None:
        found.append("definition is missing")
    elif not isinstance(definition, dict):
        found.append(f"definition must be a dictionary: {format_json(definition)}")
    if not isinstance(pattern, str):
        shown = "undefined" if pattern is None else format_json(pattern)
        found.append(f"pattern should be a binary but was {shown}")
    if type(priority) is not int:
        found.append(f"priority should be a number, actually was {format_json(priority)}")
    if not isinstance(apply_to, str):
        found.append(f"apply-to should be a binary but was {format_json(apply_to)}")
    if found:
        return found
    fault = pattern_fault(pattern)
    return faults(definition, apply_to, fault, operator=operator, kinds=APPLY_TO)


def pattern_fault(pattern: str) -> str | None:
    """What the compiler says of a policy's pattern, {"reason",offset}; None when it is right."""
    try:
        compile_pattern(pattern)
    except InvalidPattern as error:
        return f"{{{format_string(error.reason)},{error.offset}}}"
    return None


def _vhost_limits(name: str, limits: Json) -> list[str]:
    if name != LIMITS:
        return [f"{name} is not recognised, {LIMITS} is the one there is"]
    if limits == []:
        return []
    if not isinstance(limits, dict):
        return [f"{LIMITS} not a list {format_json(limits)}"]
    return limit_faults(LIMITS, limits, OF_VHOST)


# component -> what is wrong with a value of it
_COMPONENTS: Final[Mapping[str, Callable[[str, Json], list[str]]]] = MappingProxyType(
    {
        VHOST_LIMITS: _vhost_limits,
        OPERATOR_POLICY: lambda _name, value: policy_faults(value, operator=True),
    }
)


def parameter_faults(component: str, name: str, value: Json) -> list[str]:
    """Everything that is wrong with a runtime parameter, a line each."""
    check = _COMPONENTS.get(component)
    return [f"component {component} not found"] if check is None else check(name, value)
