"""Basic properties: the whole list with pamqp as the oracle, and the peeks."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, header

from mqd.amqp import properties
from mqd.amqp.fields import FieldError
from mqd.amqp.properties import Properties, decode, encode

HEADERS = {
    "n": ("signedint", 5),
    "s": ("longstr", b"\xff text"),
    "t": ("table", {"x": ("bool", True)}),
    "BCC": ("array", [("longstr", b"q")]),
}
FULL = Properties(
    content_type="text/plain",
    content_encoding="gzip",
    headers=HEADERS,
    delivery_mode=2,
    priority=7,
    correlation_id="corr",
    reply_to="back",
    expiration="60000",
    message_id="m1",
    timestamp=1795354533,
    type="kind",
    user_id="guest",
    app_id="app",
    cluster_id="",
)
TEXTS = [field.name for field in dataclasses.fields(Properties) if field.type == "str | None"]


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Properties)])
def test_each_alone_and_all_but_it(name):
    alone = Properties(**{name: getattr(FULL, name)})
    rest = dataclasses.replace(FULL, **{name: None})

    assert decode(encode(alone)) == alone
    assert decode(encode(rest)) == rest


def test_all_and_none():
    assert decode(encode(FULL)) == FULL
    assert decode(encode(Properties())) == Properties()
    assert encode(Properties(), 77) == bytes.fromhex("003c 0000 000000000000004d 0000")


def test_pamqp_reads_what_we_write():
    told = dataclasses.replace(FULL, headers={"n": ("signedint", 5)}, timestamp=None)

    read = header.ContentHeader()
    read.unmarshal(encode(told, 9))

    assert read.body_size == 9
    for field in dataclasses.fields(Properties):
        if field.name not in ("headers", "timestamp"):
            theirs = "message_type" if field.name == "type" else field.name
            assert getattr(read.properties, theirs) == getattr(told, field.name), field.name
    assert read.properties.headers == {"n": 5}


def test_we_read_what_pamqp_writes():
    written = commands.Basic.Properties(
        content_type="a/b", delivery_mode=1, reply_to="r", user_id="u", headers={"k": "v"}
    )
    payload = header.ContentHeader(0, 3, written).marshal()

    assert decode(payload) == Properties(
        content_type="a/b",
        delivery_mode=1,
        reply_to="r",
        user_id="u",
        headers={"k": ("longstr", b"v")},
    )


PEEKS = {
    "delivery_mode": properties.delivery_mode,
    "priority": properties.priority,
    "reply_to": properties.reply_to,
    "expiration": properties.expiration,
    "user_id": properties.user_id,
    "headers": properties.headers,
}


@pytest.mark.parametrize("name", PEEKS)
def test_peeks_find_their_property_wherever_it_stands(name):
    peek = PEEKS[name]

    assert peek(encode(FULL)) == getattr(FULL, name)
    assert peek(encode(Properties(**{name: getattr(FULL, name)}))) == getattr(FULL, name)
    assert peek(encode(dataclasses.replace(FULL, **{name: None}))) is None
    assert peek(encode(Properties())) is None


def test_texts_keep_bytes_that_are_no_utf8():
    payload = encode(Properties(reply_to="\udcff"))

    assert payload.endswith(b"\x01\xff")
    assert decode(payload).reply_to == "\udcff"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (None, False),
        ({}, False),
        ({"CC": ("array", [])}, True),
        ({"BCC": ("longstr", b"q")}, True),
        ({"a": ("longstr", b"\x02CC")}, False),
        ({"t": ("table", {"CC": ("array", [])})}, False),
        ({"XCC": ("array", [])}, False),
    ],
)
def test_has_cc_or_bcc(headers, found):
    payload = encode(Properties(content_type="\x02CC", headers=headers, correlation_id="\x03BCC"))

    assert properties.has_cc_or_bcc(payload) is found


def test_reply_to_is_found_where_it_stands():
    payload = encode(FULL, 5)
    name = FULL.reply_to.encode()

    assert payload.startswith(bytes((len(name),)) + name, properties.reply_to_at(payload))
    assert properties.reply_to_at(encode(Properties(content_type="x"))) is None


def test_strip_header():
    payload = encode(FULL, 5)

    stripped = properties.strip_header(payload, "BCC")

    rest = {name: field for name, field in HEADERS.items() if name != "BCC"}
    assert stripped == encode(dataclasses.replace(FULL, headers=rest), 5)
    assert properties.strip_header(stripped, "BCC") is stripped
    assert properties.strip_header(encode(Properties()), "BCC") == encode(Properties())


def test_strip_header_leaves_an_empty_table():
    payload = encode(Properties(headers={"BCC": ("array", [])}))

    assert decode(properties.strip_header(payload, "BCC")).headers == {}


def test_every_truncation_is_a_field_error():
    payload = encode(FULL)
    for size in range(len(payload)):
        with pytest.raises(FieldError):
            decode(payload[:size])


def test_bytes_after_the_last_property():
    with pytest.raises(FieldError, match="bytes are left"):
        decode(encode(FULL) + b"x")


@pytest.mark.parametrize("flags", [0x0001, 0x8001])
def test_more_flags_than_class_basic_has(flags):
    payload = encode(Properties(content_type="x"))
    payload = payload[:12] + flags.to_bytes(2, "big") + payload[14:]

    with pytest.raises(FieldError, match="more property flags"):
        decode(payload)
    with pytest.raises(FieldError):
        properties.delivery_mode(payload)


def test_the_flag_of_nobody_is_passed_over():  # observed: 3.10.8
    payload = encode(Properties(content_type="x"))
    payload = payload[:12] + (0x8002).to_bytes(2, "big") + payload[14:]

    assert decode(payload).content_type == "x"
    properties.check(payload[12:])


@given(listing=st.binary(max_size=40))
def test_what_passes_the_check_can_be_read(listing):
    header = bytes(12) + listing
    try:
        properties.check(listing)
    except FieldError:
        with pytest.raises(FieldError):
            decode(header)
    else:
        decode(header)


@pytest.mark.parametrize("name", TEXTS)
def test_texts_have_255_bytes_at_most(name):
    assert decode(encode(Properties(**{name: "x" * 255})))
    with pytest.raises(FieldError, match="longer than 255"):
        encode(Properties(**{name: "é" * 128}))


@pytest.mark.parametrize("name", ["delivery_mode", "headers", "has_cc_or_bcc"])
def test_table_that_lies_about_its_length(name):
    payload = encode(Properties(headers={"CC": ("signedint", 1)}, delivery_mode=2))
    lying = payload[:14] + (10_000).to_bytes(4, "big") + payload[18:]

    with pytest.raises(FieldError):
        getattr(properties, name)(lying)
