"""A second declare: what is the same, and the words for what is not. All recorded: 3.10.8."""

import pytest

from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.broker.definitions import ExchangeDefinition, QueueDefinition
from mqd.broker.equivalence import check_equivalent, check_queue_equivalent


def text(value):
    return ("longstr", value.encode())


FIVE = ("signedint", 5)
TTL, AE = "x-message-ttl", "alternate-exchange"


def queue_fault(first, second, durable=True, auto_delete=False, exclusive=False):
    """What a second declare is told, of a durable queue with the first arguments."""
    definition = QueueDefinition(1, "/", "q", arguments=first)
    try:
        check_queue_equivalent(definition, durable, auto_delete, exclusive, second)
    except ChannelError as error:
        return error
    return None


def test_same_is_same():
    assert queue_fault({}, {}) is None
    assert queue_fault({TTL: FIVE}, {TTL: FIVE}) is None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"durable": False}, "'durable'|received 'false' but current is 'true'"),
        ({"auto_delete": True}, "'auto_delete'|received 'true' but current is 'false'"),
        (
            {"durable": False, "auto_delete": True},
            "'durable'|received 'false' but current is 'true'",
        ),
    ],
)
def test_properties_of_queues(wanted, said):
    name, rest = said.split("|")

    error = queue_fault({}, {TTL: FIVE}, **wanted)

    assert error.code is ReplyCode.PRECONDITION_FAILED
    assert error.text == f"inequivalent arg {name} for queue 'q' in vhost '/': {rest}"


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
def test_exclusive_on_one_side_is_locked(first, second):
    definition = QueueDefinition(1, "/", "q", durable=False, exclusive=first)
    with pytest.raises(ChannelError) as caught:
        check_queue_equivalent(definition, True, True, second, {})  # whatever else differs
    assert caught.value.code is ReplyCode.RESOURCE_LOCKED
    assert caught.value.text == (
        "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally "
        "declared on another connection or the exclusive property value does not match that of "
        "the original declaration."
    )


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
def test_durable_means_nothing_to_an_exclusive_queue(first, second):
    definition = QueueDefinition(1, "/", "q", durable=first, exclusive=True)

    check_queue_equivalent(definition, second, False, True, {})


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {TTL: FIVE}, "received the value '5' of type 'signedint' but current is none"),
        ({TTL: FIVE}, {}, "received none but current is the value '5' of type 'signedint'"),
        ({TTL: FIVE}, {TTL: ("signedint", 6)}, "received '6' but current is '5'"),
        ({TTL: FIVE}, {TTL: text("5")}, "received '5' but current is '5'"),
        ({TTL: FIVE}, {TTL: ("binary", b"5")}, "received '5' but current is '5'"),
        ({TTL: FIVE}, {TTL: ("double", 5.0)}, "received '5.0' but current is '5'"),
        ({TTL: FIVE}, {TTL: ("float", 5.5)}, "received '5.5' but current is '5'"),
        ({TTL: FIVE}, {TTL: ("bool", True)}, "received 'true' but current is '5'"),
        ({TTL: ("signedint", 1)}, {TTL: ("bool", True)}, "received 'true' but current is '1'"),
        ({TTL: FIVE}, {TTL: ("void", None)}, "received none but current is '5'"),
        (
            {},
            {TTL: ("void", None)},
            "received the value 'undefined' of type 'void' but current is none",
        ),
        ({}, {TTL: ("table", {})}, "received the value '[]' of type 'table' but current is none"),
        (
            {},
            {TTL: ("array", [("signedint", 3)])},
            "received the value '[{signedint,3}]' of type 'array' but current is none",
        ),
        (
            {TTL: FIVE},
            {TTL: ("array", [("signedint", 3), text("a")])},
            "received '[{signedint,3},{longstr,<<\"a\">>}]' but current is '5'",
        ),
        (
            {TTL: FIVE},
            {TTL: ("table", {"a": ("signedint", 3)})},
            "received '[{<<\"a\">>,signedint,3}]' but current is '5'",
        ),
    ],
)
def test_argument_differs(first, second, said):
    error = queue_fault(first, second)

    assert error.code is ReplyCode.PRECONDITION_FAILED
    assert error.text == f"inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': {said}"


@pytest.mark.parametrize(
    "second", [("long", 5), ("unsignedbyte", 5), ("timestamp", 5), ("unsignedint", 5)]
)
def test_width_of_integers_does_not_count(second):
    assert queue_fault({TTL: FIVE}, {TTL: second}) is None


def test_text_of_names():
    name = "x-dead-letter-exchange"

    assert queue_fault({name: text("a")}, {name: text("b")}).text.endswith(
        "received 'b' but current is 'a'"
    )
    assert queue_fault({}, {name: text("bé")}).text.endswith(
        "received the value 'bé' of type 'longstr' but current is none"
    )


@pytest.mark.parametrize(
    "name",
    ["x-unknown", "x-delivery-limit", "x-max-age", "x-max-in-memory-length", "x-ha-policy"],
)
def test_what_a_classic_queue_does_not_know_is_not_compared(name):
    assert queue_fault({}, {name: FIVE}) is None
    assert queue_fault({name: FIVE}, {name: ("signedint", 4)}) is None


def test_what_is_compared_depends_on_the_type_that_is_there():
    quorum = {"x-queue-type": text("quorum")}

    assert "'x-delivery-limit'" in queue_fault(quorum, quorum | {"x-delivery-limit": FIVE}).text
    assert queue_fault(quorum, quorum | {"x-max-age": FIVE}) is None


def test_first_difference_is_told_in_rabbitmqs_order():
    more = {"x-max-length": FIVE, TTL: FIVE, "x-expires": FIVE}
    assert "'x-expires'" in queue_fault({}, more).text
    more = {"x-overflow": text("drop-head"), "x-max-priority": FIVE, "x-queue-mode": text("lazy")}
    assert "'x-max-priority'" in queue_fault({}, more).text
    more = {"x-queue-master-locator": text("random"), "x-queue-type": text("quorum")}
    assert "'x-queue-type'" in queue_fault({}, more).text


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (None, "classic", None),
        ("classic", None, None),
        ("classic", "classic", None),
        (None, "quorum", "received the value 'quorum' of type 'longstr' but current is none"),
        ("quorum", None, "received none but current is the value 'quorum' of type 'longstr'"),
        ("quorum", "classic", "received 'classic' but current is 'quorum'"),
        ("classic", "quorum", "received 'quorum' but current is 'classic'"),
    ],
)
def test_queue_type(first, second, said):
    first, second = ({"x-queue-type": text(v)} if v else {} for v in (first, second))

    error = queue_fault(first, second)

    assert (error and error.text) == (
        said and f"inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': {said}"
    )


BASE = ExchangeDefinition("/", "x", "direct", durable=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "fanout"}, "'type'|received 'fanout' but current is 'direct'"),
        ({"durable": True}, "'durable'|received 'true' but current is 'false'"),
        ({"auto_delete": True}, "'auto_delete'|received 'true' but current is 'false'"),
        ({"internal": True}, "'internal'|received 'true' but current is 'false'"),
        (
            {"internal": True, "durable": True, "type": "topic", "auto_delete": True},
            "'type'|received 'topic' but current is 'direct'",
        ),
        (
            {"arguments": {AE: text("q")}},
            "'alternate-exchange'|received the value 'q' of type 'longstr' but current is none",
        ),
        (
            {"arguments": {AE: ("signedint", 3)}},
            "'alternate-exchange'|received the value '3' of type 'signedint' but current is none",
        ),
    ],
)
def test_exchanges(changes, said):
    name, rest = said.split("|")
    wanted = ExchangeDefinition("/", "x", **({"type": "direct", "durable": False} | changes))

    with pytest.raises(ChannelError) as caught:
        check_equivalent(BASE, wanted)
    assert caught.value.code is ReplyCode.PRECONDITION_FAILED
    assert caught.value.text == f"inequivalent arg {name} for exchange 'x' in vhost '/': {rest}"


def test_exchange_arguments_but_the_alternate_are_not_compared():
    check_equivalent(BASE, ExchangeDefinition("/", "x", durable=False, arguments={"z": FIVE}))
