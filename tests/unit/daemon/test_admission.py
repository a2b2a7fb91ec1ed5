"""What is said before a forced start gives something up."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mqd.daemon.admission import Admission
from mqd.daemon.remembered import Remembered
from mqd.rpc.v1 import membership_pb2 as pb

AT = 1_000_000


def said(
    caplog: pytest.LogCaptureFixture, copies: Remembered | None, **others: pb.MemberFacts
) -> list[str]:
    record = SimpleNamespace(node="a", disc=("a", "b", "c"))
    membership = SimpleNamespace(record=record, copies=copies)
    made = Admission(*[cast("Any", each) for each in (membership, *[None] * 7)])
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        made._tell_of_copies(others)
    return caplog.messages


def facts(*lacks: str, ran_ms: int = AT) -> pb.MemberFacts:
    return pb.MemberFacts(on_disc=True, lacks=lacks, ran_ms=ran_ms)


def test_whole_copies_of_a_member_that_ran_last_are_nothing_to_speak_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert said(caplog, Remembered((), AT)) == []
    assert said(caplog, Remembered((), AT), b=facts(ran_ms=AT + 20_000)) == []


def test_copies_that_were_being_made_are_named_and_who_has_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text, more = said(caplog, Remembered(("Q0", "Q3"), AT), b=facts("Q0"), c=facts())
    assert "were not whole when it ran last (Q0, Q3): messages that only others" in text
    assert more == "c may have all of them"


def test_one_that_ran_later_may_have_been_promised_more(caplog: pytest.LogCaptureFixture) -> None:
    (text,) = said(caplog, Remembered((), AT), b=facts(ran_ms=AT + 31_000), c=facts())
    assert text.startswith("b ran when this node did not: messages that came to quorum queues")


def test_of_a_copy_that_nobody_ever_looked_at_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (text,) = said(caplog, None, b=facts())
    assert text == "it is not known whether this node's copies of quorum queues are whole"
