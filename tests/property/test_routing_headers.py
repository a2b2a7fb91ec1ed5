"""The headers exchange against RabbitMQ's own rule, written as it is told in words."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Offered
from mqd.broker.exchanges.registry import make_exchange

VALUES = st.sampled_from(
    [
        ("signedint", 1),
        ("long", 1),
        ("double", 1.0),
        ("bool", True),
        ("longstr", b"1"),
        ("binary", b"1"),
        ("void", None),
        ("array", [("signedint", 1)]),
        ("array", [("bool", True)]),
        ("table", {"a": ("signedint", 1)}),
    ]
)
NAMES = st.sampled_from(["a", "b", "x-a", "x-", "x", "X-a"])
TABLES = st.dictionaries(NAMES, VALUES, max_size=4)
MATCH = st.none() | st.sampled_from([b"all", b"any", b"all-with-x", b"any-with-x"])


def equal(wanted, found):
    if wanted[0] == "void":
        return True
    kinds = {wanted[0], found[0]}
    if "bool" in kinds or "void" in kinds or kinds & {"array", "table"}:
        return wanted == found and wanted[0] == found[0]
    return wanted[1] == found[1]


def naive(arguments, match, headers):
    with_x = match is not None and match.endswith(b"with-x")
    wanted = {
        name: field for name, field in arguments.items() if with_x or not name.startswith("x-")
    }
    fits = [name in headers and equal(field, headers[name]) for name, field in wanted.items()]
    return any(fits) if match is not None and match.startswith(b"any") else all(fits)


@given(TABLES, MATCH, TABLES)
@settings(max_examples=200, deadline=None)
def test_headers_exchange(arguments, match, headers):
    live = make_exchange(ExchangeDefinition("/", "h", "headers"))
    full = dict(arguments) if match is None else {**arguments, "x-match": ("longstr", match)}
    binding = BindingDefinition("/", "h", "queue", "q", "", full)
    live.validate_binding(binding)
    live.bind(binding)

    assert bool(live.route("k", Offered(headers=headers))) is naive(arguments, match, headers)

    live.unbind(binding)
    assert not live.route("k", Offered(headers=headers))
