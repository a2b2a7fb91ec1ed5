"""JSON as administrators type it and as it is shown to them.

Decides how a value is read and in which form it is written: on one line, names of an object in
order, as RabbitMQ's own writer does (observed: 3.10.8). Never decides what a value means.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from mqd.amqp.terms import format_float
from mqd.errors import ErrorCode, MqdError

Json = Any


def parse(text: str) -> Json:
    """What was typed. Raises INVALID_ARGUMENT in 3.10.8's words."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_float)
    except (ValueError, RecursionError):
        raise MqdError(ErrorCode.INVALID_ARGUMENT, "JSON decoding error. Reason: badarg") from None


def _refuse(_word: str) -> NoReturn:
    raise ValueError


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError
    return value


def parse_object(text: str, what: str) -> dict[str, Json]:
    """The same for what must be an object, where 3.10.8 shows a stack trace when it is none."""
    value = parse(text)
    if not isinstance(value, dict):
        raise invalid([f"{what} should be a JSON object"])
    return value


def invalid(faults: list[str]) -> MqdError:
    """All that is wrong with a value, a line each."""
    return MqdError(ErrorCode.INVALID_ARGUMENT, "\n".join(["Validation failed", "", *faults]))


def show(value: Json) -> str:
    """The value on one line."""
    if isinstance(value, dict):
        pairs = (f"{_text(key)}:{show(value[key])}" for key in sorted(value))
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(show, value))}]"
    if isinstance(value, float):
        return format_float(value)
    return _text(value)


def show_parameter(value: Json) -> str:
    """The same of a runtime parameter, where an object without anything is a list."""
    return "[]" if value == {} else show(value)


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
