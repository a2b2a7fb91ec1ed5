"""Which queues may be declared. All texts recorded: 3.10.8, but where noted."""

import pytest

from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.broker.definitions import QueueDefinition
from mqd.broker.queue_arguments import (
    CHECKS,
    KNOWN,
    check_queue_arguments,
    check_server_named,
    queue_type,
)

DLX = "x-dead-letter-exchange"


def text(value):
    return ("longstr", value.encode())


def integer(value):
    return ("long", value)


def fault(arguments, **properties):
    definition = QueueDefinition(1, "/", "q", arguments=arguments, **properties)
    try:
        check_queue_arguments(definition)
    except ChannelError as error:
        return error.text if error.code is ReplyCode.PRECONDITION_FAILED else repr(error)
    return None


def value_fault(name, field, kind="classic"):
    """What is wrong with a value, without the words that are always the same."""
    told = fault({"x-queue-type": text(kind), name: field})
    start = f"invalid arg '{name}' for queue 'q' in vhost '/': "
    assert told is None or told.startswith(start), told
    return told and told[len(start) :]


CLASSIC_INTEGERS = ["x-expires", "x-message-ttl", "x-max-length", "x-max-length-bytes"]
CLASSIC_INTEGERS += ["x-max-priority", "x-queue-version"]
SEVERAL = ["bool", "void", "double", "float", "timestamp", "table", "array", "decimal", "binary"]


def of(kind):
    """Some value of that wire type."""
    values = {"bool": True, "void": None, "table": {}, "array": [], "decimal": (1, 5)}
    values |= {"binary": b"x", "longstr": b"abc", "double": 1.5, "float": 1.5}
    return (kind, values.get(kind, 1))


@pytest.mark.parametrize("kind", [*SEVERAL, "longstr"])
@pytest.mark.parametrize("name", CLASSIC_INTEGERS)
def test_integers_have_to_be_integers(name, kind):
    assert value_fault(name, of(kind)) == f'"expected integer, got {kind}"'


@pytest.mark.parametrize(
    "kind",
    ["signedint", "long", "byte", "short", "unsignedbyte", "unsignedshort", "unsignedint"],
)
@pytest.mark.parametrize("name", CLASSIC_INTEGERS)
def test_integers_of_any_width(name, kind):
    assert value_fault(name, (kind, 1)) is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("x-expires", -1, "{value_negative,-1}"),
        ("x-expires", 0, "{value_zero,0}"),
        ("x-expires", 315360000000, None),
        ("x-expires", 315360000001, "{value_too_large,315360000001}"),
        ("x-message-ttl", -1, "{value_negative,-1}"),
        ("x-message-ttl", 0, None),
        ("x-message-ttl", 315360000001, "{value_too_large,315360000001}"),
        ("x-max-length", -1, "{value_negative,-1}"),
        ("x-max-length", 0, None),
        ("x-max-length", 99999999999999, None),
        ("x-max-length-bytes", -1, "{value_negative,-1}"),
        ("x-max-priority", -1, "{value_negative,-1}"),
        ("x-max-priority", 0, None),
        ("x-max-priority", 255, None),
        ("x-max-priority", 256, "{max_value_exceeded,256}"),
        ("x-queue-version", -1, "{value_negative,-1}"),
        ("x-queue-version", 0, "\"unsupported queue version '0'\""),
        ("x-queue-version", 2, None),
        ("x-queue-version", 3, "\"unsupported queue version '3'\""),
    ],
)
def test_ranges(name, value, said):
    assert value_fault(name, integer(value)) == said


@pytest.mark.parametrize("kind", [*SEVERAL, "signedint", "long"])
@pytest.mark.parametrize("name", ["x-overflow", "x-queue-mode", "x-dead-letter-routing-key"])
def test_texts_have_to_be_texts(name, kind):
    assert value_fault(name, of(kind)) == f"{{unacceptable_type,{kind}}}"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("x-overflow", "abc", "invalid_overflow"),
        ("x-overflow", "drop-head", None),
        ("x-overflow", "reject-publish", None),
        ("x-overflow", "reject-publish-dlx", None),
        ("x-queue-mode", "abc", "\"unsupported queue mode 'abc'\""),
        ("x-queue-mode", "lazy", None),
        ("x-queue-mode", "default", None),
        ("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
        # 3.10.8 ends the connection with 541 here
        ("x-queue-master-locator", "abc", "\"unsupported queue master locator 'abc'\""),
        ("x-queue-master-locator", "min-masters", None),
    ],
)
def test_words(name, value, said):
    assert value_fault(name, text(value)) == said


def test_dead_letter_routing_key_with_its_exchange():
    assert fault({DLX: text(""), "x-dead-letter-routing-key": text("k")}) is None


@pytest.mark.parametrize("kind", [*SEVERAL, "signedint", "longstr"])
def test_single_active_consumer_is_a_bool(kind):
    wanted = None if kind == "bool" else f"{{unacceptable_type,{kind}}}"

    assert value_fault("x-single-active-consumer", of(kind)) == wanted


@pytest.mark.parametrize("kind", [*SEVERAL, "signedint"])
def test_dead_letter_exchange_of_another_type_is_told_first(kind):
    assert fault({"x-expires": integer(0), DLX: of(kind)}) == (
        f"invalid type '{kind}' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"
    )


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (integer(4), "{unacceptable_type,long}"),
        (text("bogus"), "\"unsupported queue type 'bogus'\""),
        (text("classic"), None),
    ],
)
def test_queue_type(field, said):
    told = fault({"x-queue-type": field, "x-max-length": integer(-1 if said else 1)})

    assert told == (said and f"invalid arg 'x-queue-type' for queue 'q' in vhost '/': {said}")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in KNOWN
        for name in sorted({other for names in KNOWN.values() for other in names})
        if name not in KNOWN[kind] and not (kind == "stream" and name == DLX)
    ],
)
def test_argument_of_another_queue_type(kind, name):
    told = fault({"x-queue-type": text(kind), name: ("void", None) if name != DLX else text("")})

    assert told == (
        f"invalid arg '{name}' for queue 'q' in vhost '/' of queue type rabbit_{kind}_queue"
    )


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        # values in RabbitMQ's order, then foreign names in the client's
        ({"x-max-length": integer(-1), "x-expires": integer(0)}, "x-expires"),
        ({"x-max-age": text("1D"), "x-expires": integer(0)}, "x-expires"),
        ({"x-max-age": text("zz"), "x-queue-type": text("bogus")}, "x-queue-type"),
        ({"x-dead-letter-routing-key": text("a"), "x-message-ttl": integer(-1)}, "x-message-ttl"),
        ({"x-delivery-limit": integer(1), "x-max-age": text("z")}, "x-delivery-limit"),
        ({"x-max-age": text("z"), "x-delivery-limit": integer(1)}, "x-max-age"),
        (
            {
                "x-queue-mode": text("b"),
                "x-queue-version": integer(9),
                "x-overflow": text("z"),
                "x-max-priority": integer(300),
            },
            "x-max-priority",
        ),
    ],
)
def test_first_fault_is_told(arguments, first):
    assert fault(arguments).startswith(f"invalid arg '{first}' for queue 'q' in vhost '/'")


def test_names_that_no_type_knows_are_kept():
    assert fault({"x-unknown": ("void", None), "x-cancel-on-ha-failover": integer(1)}) is None
    assert fault({}) is None


@pytest.mark.parametrize(
    ("name", "field", "said"),
    [
        ("x-dead-letter-strategy", text("abc"), "invalid_dlx_strategy"),
        ("x-dead-letter-strategy", text("at-least-once"), None),
        ("x-quorum-initial-group-size", integer(0), "{value_zero,0}"),
        ("x-quorum-initial-group-size", text("3"), '"expected integer, got longstr"'),
        ("x-queue-leader-locator", text("abc"), "invalid_queue_locator_arg"),
        ("x-queue-leader-locator", text("balanced"), None),
        ("x-queue-leader-locator", text("client-local"), None),
        ("x-queue-leader-locator", integer(1), "{unacceptable_type,long}"),
        ("x-max-in-memory-length", integer(-1), "{value_negative,-1}"),
        ("x-delivery-limit", text("abc"), None),  # 3.10.8 takes anything
    ],
)
def test_quorum(name, field, said):
    assert value_fault(name, field, "quorum") == said


@pytest.mark.parametrize(
    ("name", "field", "said"),
    [
        ("x-max-age", text("10D"), None),
        ("x-max-age", text("10x"), "invalid_max_age"),
        ("x-max-age", text("abc"), "invalid_max_age"),  # 3.10.8: 541
        ("x-max-age", integer(5), "{unacceptable_type,long}"),
        ("x-initial-cluster-size", integer(0), "{value_zero,0}"),
        ("x-stream-max-segment-size-bytes", integer(-1), "{value_negative,-1}"),
        ("x-stream-max-segment-size-bytes", integer(3_000_000_000), None),
    ],
)
def test_stream(name, field, said):
    assert value_fault(name, field, "stream") == said


def test_stream_segment_has_a_most():
    arguments = {"x-queue-type": text("stream")}
    arguments["x-stream-max-segment-size-bytes"] = integer(3_000_000_001)

    assert fault(arguments) == "Exceeded max value for x-stream-max-segment-size-bytes"


@pytest.mark.parametrize("kind", ["quorum", "stream"])
@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"durable": False}, "non-durable"),
        ({"exclusive": True}, "exclusive-owner"),
        ({"auto_delete": True}, "auto-delete"),
        ({"auto_delete": True, "exclusive": True, "durable": False}, "auto-delete"),
    ],
)
def test_properties_that_replicated_queues_cannot_have(kind, properties, said):
    assert fault({"x-queue-type": text(kind)}, **properties) == (
        f"invalid property '{said}' for queue 'q' in vhost '/'"
    )
    assert fault({"x-queue-type": text("classic")}, **properties) is None


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        (text("quorum"), "quorum"),
        (text("classic"), "classic"),
        (text("bogus"), "classic"),
        (integer(1), "classic"),
        (("longstr", b"\xff"), "classic"),
    ],
)
def test_queue_type_of_arguments(field, kind):
    assert queue_type({"x-queue-type": field}) == kind


@pytest.mark.parametrize("kind", ["quorum", "stream"])
def test_server_named(kind):
    check_server_named({})
    check_server_named({"x-queue-type": text("classic")})
    with pytest.raises(ChannelError) as caught:
        check_server_named({"x-queue-type": text(kind)})
    assert caught.value.text == f"Cannot declare a server-named queue for type rabbit_{kind}_queue"
    assert caught.value.code is ReplyCode.PRECONDITION_FAILED


def test_tables_agree():
    known = {name for names in KNOWN.values() for name in names}

    assert set(CHECKS) - known == set()
    assert known - set(CHECKS) == {"x-delivery-limit", "x-queue-type"}
