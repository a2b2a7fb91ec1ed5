"""Field tables and Basic properties: whole when they are good, FieldError when they are not."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from mqd.amqp import properties
from mqd.amqp.fields import FieldError, decode_table, encode_table, from_json, to_json


def ints(bits, signed):
    low = -(1 << bits - 1) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


SCALARS = st.one_of(
    *(
        st.tuples(st.just(kind), values)
        for kind, values in {
            "longstr": st.binary(max_size=20),
            "binary": st.binary(max_size=20),
            "signedint": ints(32, True),
            "long": ints(64, True),
            "byte": ints(8, True),
            "short": ints(16, True),
            "unsignedbyte": ints(8, False),
            "unsignedshort": ints(16, False),
            "unsignedint": ints(32, False),
            "timestamp": ints(64, False),
            "bool": st.booleans(),
            "double": st.floats(),
            "float": st.floats(width=32),
            "void": st.none(),
            "decimal": st.tuples(ints(8, False), ints(32, False)),
        }.items()
    )
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FIELDS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.tuples(st.just("array"), st.lists(inner, max_size=3)),
        st.tuples(st.just("table"), st.dictionaries(NAMES, inner, max_size=3)),
    ),
    max_leaves=8,
)
TABLES = st.dictionaries(NAMES, FIELDS, max_size=5)
TAGS = b"IlLbBsuidfTtSxFAVD"


def same(first, second):
    """Equal, with nan equal to itself."""
    if isinstance(first, float) and isinstance(second, float):
        return first == second or (math.isnan(first) and math.isnan(second))
    if isinstance(first, dict) and isinstance(second, dict):
        return list(first) == list(second) and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple) and type(first) is type(second):
        return len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and first == second


@given(TABLES, st.binary(max_size=5), st.binary(max_size=5))
@settings(max_examples=150, deadline=None)
def test_table_round_trip_wherever_it_stands(table, before, after):
    encoded = encode_table(table)

    decoded, end = decode_table(before + encoded + after, len(before))

    assert same(decoded, table)
    assert end == len(before) + len(encoded)


@given(TABLES)
@settings(max_examples=200, deadline=None)
def test_json_round_trip(table):
    assert same(from_json(to_json(table)), table)


def check_only_field_error(raw):
    try:
        table, end = decode_table(raw)
    except FieldError:
        return
    assert 4 <= end <= len(raw)
    assert same(decode_table(encode_table(table))[0], table)


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes(raw):
    check_only_field_error(raw)
    check_only_field_error(len(raw).to_bytes(4, "big") + raw)


@given(
    st.lists(
        st.one_of(
            st.sampled_from([bytes((tag,)) for tag in TAGS]),
            st.sampled_from([b"\x00", b"\x01", b"\x01a", b"\x00\x00\x00\x00", b"\x00\x00\x00\x05"]),
            st.binary(max_size=3),
        ),
        max_size=25,
    ).map(b"".join)
)
@settings(max_examples=400, deadline=None)
def test_bytes_that_look_like_tables(raw):
    check_only_field_error(len(raw).to_bytes(4, "big") + raw)


@given(TABLES, st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_tables(table, data):
    raw = bytearray(encode_table(table))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    check_only_field_error(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
PROPERTIES = st.builds(
    properties.Properties,
    content_type=TEXTS,
    content_encoding=TEXTS,
    headers=st.none() | TABLES,
    delivery_mode=st.none() | ints(8, False),
    priority=st.none() | ints(8, False),
    correlation_id=TEXTS,
    reply_to=TEXTS,
    expiration=TEXTS,
    message_id=TEXTS,
    timestamp=st.none() | ints(64, False),
    type=TEXTS,
    user_id=TEXTS,
    app_id=TEXTS,
    cluster_id=TEXTS,
)
PEEKS = ("delivery_mode", "priority", "reply_to", "user_id", "expiration", "headers")


@given(PROPERTIES)
@settings(max_examples=200, deadline=None)
def test_properties_round_trip_and_peeks_agree(told):
    payload = properties.encode(told)
    decoded = properties.decode(payload)

    for name in PEEKS:
        assert same(getattr(properties, name)(payload), getattr(decoded, name))
        assert same(getattr(decoded, name), getattr(told, name))
    table = told.headers or {}
    assert properties.has_cc_or_bcc(payload) is ("CC" in table or "BCC" in table)


@given(st.binary(max_size=60), st.integers(0, 0xFFFF))
@settings(max_examples=200, deadline=None)
def test_properties_of_any_bytes(raw, flags):
    for payload in (raw, bytes(12) + flags.to_bytes(2, "big") + raw):
        for read in (properties.decode, properties.has_cc_or_bcc, strip):
            try:
                read(payload)
            except FieldError:
                continue
        for name in PEEKS:
            try:
                getattr(properties, name)(payload)
            except FieldError:
                continue


def strip(payload):
    return properties.strip_header(payload, "BCC")
