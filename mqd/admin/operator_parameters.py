"""Operator policies that are set as runtime parameters.

Decides what is wrong with such a value: the words, and their order, differ from those of the verb
that sets operator policies (observed: 3.10.8). Never decides what one does.
"""

from __future__ import annotations

from typing import Any, Final

from mqd.admin import json_text
from mqd.definitions.checks import AS_OBJECT, pattern_fault
from mqd.policies.model import KINDS
from mqd.policies.terms import format_json, format_pairs
from mqd.policies.validation import OPERATOR_SETTINGS, apply_to_fault, definition_fault

Json = Any
_KEYS: Final = ("priority", "pattern", "apply-to", "definition")


def checked(name: str, value: Json) -> Json:
    """The value as it is kept. Raises INVALID_ARGUMENT with everything that is wrong."""
    found = _faults(name, value)
    if found:
        raise json_text.invalid(found)
    definition = dict(sorted(value["definition"].items()))
    return {**value, "definition": definition, AS_OBJECT: True}


def _faults(name: str, value: Json) -> list[str]:
    if not isinstance(value, (dict, list)):
        return [f"{name} not a list {format_json(value)}"]
    given = value if isinstance(value, dict) else {}
    found = [_fault(name, key, given) for key in _KEYS]
    others = [(key, given[key]) for key in sorted(given) if key not in _KEYS]
    if others:
        found.append(f"Unrecognised terms {format_pairs(others)} in {name}")
    elif value and not given:
        found.append(f"Unrecognised terms {format_json(value)} in {name}")
    return [fault for fault in reversed(found) if fault is not None]


def _fault(name: str, key: str, given: dict[str, Json]) -> str | None:
    if key not in given:
        return None if key == "apply-to" else f'Key "{key}" not found in {name}'
    value = given[key]
    if key == "priority":
        whole = type(value) is int
        return None if whole else f"priority should be a number, actually was {format_json(value)}"
    if key == "apply-to":
        shown = value if isinstance(value, str) else format_json(value)
        return None if value in KINDS else apply_to_fault(shown)
    if key == "definition":
        if value == [] or isinstance(value, dict):
            return definition_fault(value or {}, OPERATOR_SETTINGS)
        return (
            f"parse error while reading policy definition: {format_json(value)}. "
            "Validator: operator_policy_validator."
        )
    if not isinstance(value, str):
        return f"pattern should be a binary but was {format_json(value)}"
    fault = pattern_fault(value)
    return fault and f"pattern should be regular expression but is invalid: {fault}"
