"""Sizes: units, the breakdown of memory."""

from __future__ import annotations

from typing import Any

from mqctl.behaviour import Behaviour
from mqctl.failures import Invalid
from mqctl.output.results import Lines, Result, Rows, Value
from mqctl.output.terms import Atom

_DIVISORS = {
    "bytes": 1,
    "kb": 10**3,
    "kilobytes": 10**3,
    "mb": 10**6,
    "megabytes": 10**6,
    "gb": 10**9,
    "gigabytes": 10**9,
    "tb": 10**12,
    "terabytes": 10**12,
}


def check_unit(unit: str) -> None:
    """Refuse a unit nobody knows."""
    if unit.lower() not in _DIVISORS:
        raise Invalid(f"\"unit '{unit}' is not supported. Please use one of: bytes, mb, gb\"")


def convert(size_bytes: float, unit: str) -> str:
    """A size in a unit, with four decimals at most."""
    from mqctl.output.erlang import float_text

    if unit == "bytes":
        return str(int(size_bytes))
    return float_text(round(size_bytes / _DIVISORS[unit.lower()], 4))


def shares(parts: Any, total: int) -> list[tuple[str, int, float]]:
    """(name, bytes, percentage), largest first."""
    whole = total or 1
    found = [(part.name, part.bytes, round(part.bytes / whole * 100, 2)) for part in parts]
    return sorted(found, key=lambda item: -item[1])


class MemoryBreakdown(Behaviour):
    """What memory is used for."""

    def validate(self) -> None:
        """The unit is checked before anything is asked."""
        super().validate()
        check_unit(self.invocation.request.unit)

    def output(self, message: Any) -> Result:
        """Lines, or the pairs themselves."""
        total = sum(part.bytes for part in message.parts)
        found = shares(message.parts, total)
        pairs = [
            (Atom(name), {Atom("bytes"): size, Atom("percentage"): share})
            for name, size, share in found
        ]
        chosen = self.options.get("formatter")
        if chosen == "csv":
            flat = sorted(
                [(f"{n}.bytes", b) for n, b, _ in found]
                + [(f"{n}.percentage", s) for n, _, s in found],
                reverse=True,
            )
            return Rows([[(Atom(key), value) for key, value in flat]])
        if chosen is not None and chosen != "string":
            return Value(pairs)
        from mqctl.output.erlang import float_text

        unit = self.invocation.request.unit
        lines = [f"{n}: {convert(b, unit)} {unit} ({float_text(s)}%)" for n, b, s in found]
        return Lines(["\n".join(lines) + "\n"])
