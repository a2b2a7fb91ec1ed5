"""That every mutation still has its line: `mutate` itself takes minutes."""

from __future__ import annotations

from tests.reference import index, mutate


def test_every_mutation_has_its_row_and_its_line() -> None:
    rows = {row.label for row in index.load()}
    lost = []
    for each in mutate.load():
        lines = map(str.strip, (mutate.ROOT / each.path).read_text().splitlines())
        if each.row not in rows or each.old not in lines:
            lost.append(f"{each.row}: {each.path}: {each.old}")
    assert lost == []
