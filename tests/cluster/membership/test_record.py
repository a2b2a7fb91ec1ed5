"""cluster.json: what a member knows while nothing runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.cluster.membership import file
from mqd.cluster.membership.record import Record, decode, encode, renamed
from mqd.errors import MqdError
from mqd.metadata.commands import ClusterRecord, Member

names = st.sampled_from(["rabbit@a", "rabbit@b", "rabbit@c"])
member = st.builds(
    Member,
    name=names,
    incarnation=st.sampled_from(["", "11", "22"]),
    number=st.integers(1, 9),
    kind=st.sampled_from(["disc", "ram"]),
)
tables = st.dictionaries(names, member).map(
    lambda found: {name: replace(each, name=name) for name, each in found.items()}
)
records = st.builds(
    Record,
    node=names,
    cluster=st.builds(
        ClusterRecord,
        st.just("id"),
        st.integers(1, 5),
        names,
        st.integers(0, 9),
        st.lists(st.sampled_from(["f", "g"]), max_size=3).map(tuple),
    ),
    kind=st.sampled_from(["disc", "ram"]),
    incarnation=st.just("11"),
    members=tables,
    number=st.integers(0, 99),
    ran=st.lists(names).map(tuple),
    boots=st.integers(0, 9),
    yields_to=st.lists(names, max_size=2).map(tuple),
)


@given(records)
def test_it_is_read_as_it_was_written(record: Record) -> None:
    assert decode(encode(record)) == record


@given(records, tables)
def test_servers_of_disc_members_that_are_over_are_remembered(
    record: Record, now: dict[str, Member]
) -> None:
    after = record.follow(record.cluster, now, 100)
    if record.node not in now:
        assert after == record
        return
    voted = {(m.name, m.incarnation) for m in record.members.values() if m.kind == "disc"}
    vote = {(m.name, m.incarnation) for m in now.values() if m.kind == "disc"}
    assert set(after.gone) == {each for each in voted - vote if each[1]}


@given(records)
def test_a_rename_reaches_every_name(record: Record) -> None:
    after = renamed(record, {"rabbit@a": "rabbit@z"})
    assert '"rabbit@a"' not in encode(replace(after, former=""))


def test_its_file_is_its_owners_alone(tmp_path: Path) -> None:
    assert file.read(tmp_path) is None
    record = Record("rabbit@a", ClusterRecord("id"), "disc", "11")
    file.write(tmp_path, record)
    assert (tmp_path / "cluster.json").stat().st_mode & 0o777 == 0o600
    assert file.read(tmp_path) == record
    file.remove(tmp_path)
    assert file.read(tmp_path) is None


def test_one_of_a_time_without_forks_is_read(tmp_path: Path) -> None:
    """As mqd wrote it before: its generation goes on as one that has none."""
    text = Path(__file__).with_name("cluster-1.json").read_text()
    (tmp_path / "cluster.json").write_text(text)
    record = file.read(tmp_path)
    assert record is not None
    assert record.cluster == ClusterRecord(
        "2a6c1f0e9b7d4c538e1f6a0b9c8d7e6f", 2, "rabbit@a", 2, forks=()
    )
    assert record.disc == ("rabbit@a", "rabbit@b")
    assert record.gone == (("rabbit@c", "deadbeef"),)
    assert (record.number, record.ran, record.yields_to) == (41, ("rabbit@a",), ())
    file.write(tmp_path, record)
    assert '"format": 2' in (tmp_path / "cluster.json").read_text()
    assert file.read(tmp_path) == record


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 99}', '{"format": 1, "members": 3}'])
def test_what_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.json").write_text(text)
    with pytest.raises(MqdError, match=r"cluster\.json"):
        file.read(tmp_path)
