"""mqd.definitions.words: what is said of a file that is refused, and with which code."""

from __future__ import annotations

import pytest

from mqd.definitions.faults import Fault, Refused
from mqd.definitions.parse import Unreadable, parse
from mqd.definitions.words import of_no_term, of_refused, of_unreadable
from mqd.errors import ErrorCode

VHOST = Fault("queues[0] 'q'", "no vhost", "recorded", ErrorCode.NO_SUCH_VHOST, ("queues", 0))
OURS = Fault("users[1] 'u'", "tags are missing", at=("users", 1))
DATA = b'{"users":[1,\n2],\n"queues":[\n3]}'


def unreadable(data: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        parse(data)
    return caught.value


def test_unreadable() -> None:
    problem = unreadable(b"{\nx")
    error = of_unreadable(problem, "f", located=False)
    assert (error.code, error.detail) == (
        ErrorCode.INVALID_ARGUMENT,
        'Failed to deserialise input (format: JSON) (error: {:unexpected_token, "x"})',
    )
    lines = of_unreadable(problem, "f", located=True).detail.splitlines()
    assert lines == [error.detail, 'f:2:1: expected a name in double quotes, or "}", found x']
    assert of_unreadable(unreadable(b"1e400"), "f", located=False).detail == (
        "f:1:1: a number that is too large"
    )


def test_no_term() -> None:
    error = of_no_term("why", "f", located=False)
    assert error.detail == (
        "Failed to deserialise input (format: Erlang term format) (error: "
        '"errors were found at the given arguments:\\n\\n  * 1st argument: invalid external '
        'representation of a term\\n")'
    )
    assert of_no_term("why", "f", located=True).detail == f"{error.detail}\nf: why"


@pytest.mark.parametrize(
    ("faults", "located", "code", "text"),
    [
        ([VHOST], False, ErrorCode.NO_SUCH_VHOST, "recorded"),
        ([VHOST], True, ErrorCode.NO_SUCH_VHOST, "recorded\nf:4: queues[0] 'q': no vhost"),
        ([OURS], False, ErrorCode.PRECONDITION_FAILED, "f:2: users[1] 'u': tags are missing"),
        (
            [OURS, VHOST],
            False,
            ErrorCode.PRECONDITION_FAILED,
            "f:2: users[1] 'u': tags are missing\nf:4: queues[0] 'q': no vhost",
        ),
        (
            [Fault("the file", "no object", code=ErrorCode.INTERNAL)],
            False,
            ErrorCode.INTERNAL,
            "f: the file: no object",
        ),
    ],
)
def test_refused(faults: list[Fault], located: bool, code: ErrorCode, text: str) -> None:
    error = of_refused(Refused(faults), "f", DATA, located=located)
    assert (error.code, error.detail) == (code, text)


def test_and_more() -> None:
    text = of_refused(Refused([VHOST], more=True), "f", DATA, located=False).detail
    assert text.splitlines()[1:] == ["f: and more; nothing was imported"]
