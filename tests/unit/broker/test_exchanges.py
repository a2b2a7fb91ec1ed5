"""Each exchange type by itself: which bindings a message follows."""

import pytest

from mqd.amqp.replies import ChannelError, ConnectionError_, ReplyCode
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Offered
from mqd.broker.exchanges.registry import (
    BUILT_IN,
    check_arguments,
    check_type,
    make_exchange,
    predeclared,
)
from mqd.names import Resource


def exchange(kind, **arguments):
    return make_exchange(ExchangeDefinition("/", "x", kind, arguments=arguments))


def binding(key="", queue="q", kind="queue", **arguments):
    arguments = {name.replace("_", "-"): field for name, field in arguments.items()}
    return BindingDefinition("/", "x", kind, queue, key, arguments)


def routed(live, key="", headers=None):
    destinations = list(live.route(key, Offered(headers=headers)))
    assert len(destinations) == len(set(destinations))
    return {name for _, name in destinations}


# -- direct and fanout ------------------------------------------------------------------------


def test_direct_follows_the_equal_key():
    direct = exchange("direct")
    direct.bind(binding("k", "q1"))
    direct.bind(binding("k", "q2"))
    direct.bind(binding("other", "q3"))

    assert routed(direct, "k") == {"q1", "q2"}
    assert routed(direct, "K") == set()
    assert routed(direct, "") == set()


def test_fanout_follows_every_binding():
    fanout = exchange("fanout")
    fanout.bind(binding("k", "q1"))
    fanout.bind(binding("l", "q2", kind="exchange"))

    assert set(fanout.route("whatever", Offered())) == {("queue", "q1"), ("exchange", "q2")}


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic"])
def test_destination_stays_until_its_last_binding_goes(kind):
    live = exchange(kind)
    first, second = binding("k"), binding("k", a=("signedint", 1))
    live.bind(first)
    live.bind(second)

    assert routed(live, "k") == {"q"}
    live.unbind(first)
    assert routed(live, "k") == {"q"}
    live.unbind(second)
    assert routed(live, "k") == set()


def test_queue_and_exchange_of_one_name_are_two_destinations():
    direct = exchange("direct")
    direct.bind(binding("k", "same"))
    direct.bind(binding("k", "same", kind="exchange"))
    direct.unbind(binding("k", "same"))

    assert list(direct.route("k", Offered())) == [("exchange", "same")]


# -- topic ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        # recorded: 3.10.8
        ("#", "", True),
        ("*", "", False),
        ("", "", True),
        ("*", ".", False),
        ("*.*", ".", True),
        ("a.*", "a.", True),
        ("a.*", "a", False),
        ("#.a", "a", True),
        ("a.#.b", "a.b", True),
        ("a.#", "a", True),
        ("a.#", "a.", True),
        ("*.#", "x", True),
        ("#.*", "", False),
        ("#.#", "", True),
        ("*a", "ba", False),
        ("*", "*", True),
        ("a", "A", False),
        ("é.*", "é.x", True),
        ("..", "..", True),
        ("#.b.#.c", "b.x.c", True),
        ("a#", "a#", True),
        # AMQP 0-9-1 §3.1.3.3
        ("*.stock.#", "usd.stock", True),
        ("*.stock.#", "eur.stock.db", True),
        ("*.stock.#", "stock.nasdaq", False),
        ("a", "#", False),
        ("*.b", "#.b", True),
    ],
)
def test_topic_patterns(pattern, key, matches):
    topic = exchange("topic")
    topic.bind(binding(pattern))

    assert routed(topic, key) == ({"q"} if matches else set())
    topic.unbind(binding(pattern))
    assert routed(topic, key) == set()


def test_topic_unbind_leaves_longer_and_shorter_patterns():
    topic = exchange("topic")
    for pattern in ("a", "a.b", "a.b.c", "a.*", "a.#", "#"):
        topic.bind(binding(pattern, pattern))

    topic.unbind(binding("a.b", "a.b"))
    assert routed(topic, "a.b") == {"a.*", "a.#", "#"}
    assert routed(topic, "a.b.c") == {"a.b.c", "a.#", "#"}
    for pattern in ("a.b.c", "a.*", "a.#", "#", "a"):
        topic.unbind(binding(pattern, pattern))
    assert topic._root.is_empty


def test_topic_walk_does_not_grow_with_the_number_of_bindings():
    """The cost is counted in nodes entered: a scan would touch all of 3,000 patterns."""
    topic = exchange("topic")
    for number in range(1000):
        topic.bind(binding(f"site.{number}.temp.*", f"q{number}"))
        topic.bind(binding(f"site.{number}.#", f"all{number}"))
        topic.bind(binding(f"*.{number}.humidity", f"h{number}"))
    entered = []
    node = type(topic._root)
    for child in (topic._root.words["site"], topic._root.star):
        for below in child.words.values():
            assert isinstance(below, node)
            below.words = CountingDict(below.words, entered)

    assert routed(topic, "site.500.temp.inside") == {"q500", "all500"}
    assert len(entered) == 2


class CountingDict(dict):
    def __init__(self, values, calls):
        super().__init__(values)
        self.calls = calls

    def get(self, key, default=None):
        self.calls.append(key)
        return super().get(key, default)


def test_topic_many_hashes_cost_words_times_nodes():
    topic = exchange("topic")
    topic.bind(binding(".".join(["#", "a"] * 30)))

    assert routed(topic, ".".join(["a"] * 120)) == {"q"}
    assert routed(topic, ".".join(["a"] * 119 + ["b"])) == set()


# -- headers ----------------------------------------------------------------------------------

ONE, TWO = ("signedint", 1), ("signedint", 2)
VOID = ("void", None)


def text(value):
    return ("longstr", value.encode())


@pytest.mark.parametrize(
    ("arguments", "headers", "matches"),
    [
        # recorded: 3.10.8; the value counts, its type does not
        ({"a": ("signedint", 5)}, {"a": ("long", 5)}, True),
        ({"a": ("signedint", 5)}, {"a": ("double", 5.0)}, True),
        ({"a": ("timestamp", 5)}, {"a": ("signedint", 5)}, True),
        ({"a": ONE}, {"a": ("bool", True)}, False),
        ({"a": text("x")}, {"a": ("binary", b"x")}, True),
        ({"a": ("float", 0.5)}, {"a": ("double", 0.5)}, True),
        ({"a": ("decimal", (1, 5))}, {"a": ("decimal", (1, 5))}, True),
        ({"a": ("array", [])}, {"a": ("table", {})}, True),
        ({"a": ("array", [ONE])}, {"a": ("array", [ONE])}, True),
        ({"a": ("array", [ONE])}, {"a": ("array", [("long", 1)])}, False),
        ({"a": ("table", {"p": ONE})}, {"a": ("table", {"p": ONE})}, True),
        ({"a": ("table", {"p": ONE})}, {"a": ("table", {"p": ("long", 1)})}, False),
        (
            {"a": ("table", {"p": ONE, "q": TWO})},
            {"a": ("table", {"q": TWO, "p": ONE})},
            False,
        ),
        # void asks for presence
        ({"a": VOID}, {"a": ONE}, True),
        ({"a": VOID}, {"a": VOID}, True),
        ({"a": VOID}, {}, False),
        ({"a": ONE}, {"a": VOID}, False),
        ({"a": text("undefined")}, {"a": VOID}, False),
        # all is what is meant when nothing is said
        ({}, {}, True),
        ({}, {"a": ONE}, True),
        ({"a": ONE, "b": TWO}, {"b": TWO, "a": ONE}, True),
        ({"a": ONE, "b": TWO}, {"a": ONE}, False),
        ({"x-match": text("any")}, {"a": ONE}, False),
        ({"x-match": text("any"), "a": ONE, "b": TWO}, {"b": TWO, "a": TWO}, True),
        # names that begin with x-
        ({"x-match": text("any"), "x-a": ONE}, {"x-a": ONE}, False),
        ({"x-match": text("any-with-x"), "x-a": ONE}, {"x-a": ONE}, True),
        ({"x-match": text("all"), "x-a": ONE}, {}, True),
        ({"x-match": text("all-with-x"), "x-a": ONE}, {}, False),
        ({"x-match": text("all-with-x"), "x-a": ONE}, {"x-a": ONE}, True),
        ({"x-match": text("all-with-x"), "x-a": VOID}, {"x-a": TWO}, True),
        ({"x-match": text("all-with-x")}, {}, True),
        ({"x-match": text("any-with-x")}, {"x-match": text("any-with-x")}, False),
        ({"x-match": text("all"), "x-": ONE}, {}, True),
        ({"x": ONE}, {}, False),
        ({"X-a": ONE}, {}, False),
    ],
)
def test_headers_match(arguments, headers, matches):
    live = exchange("headers")
    live.bind(BindingDefinition("/", "x", "queue", "q", "ignored", arguments))

    assert routed(live, "any key", headers) == ({"q"} if matches else set())


def test_headers_bindings_of_one_queue_are_told_apart_by_arguments():
    live = exchange("headers")
    first, second = binding(a=ONE), binding(b=ONE)
    live.bind(first)
    live.bind(second)
    live.unbind(first)

    assert routed(live, headers={"a": ONE}) == set()
    assert routed(live, headers={"b": ONE}) == {"q"}


def test_headers_looks_only_at_patterns_that_share_a_header():
    live = exchange("headers")
    for number in range(500):
        live.bind(binding(queue=f"q{number}", format=text("pdf"), number=("signedint", number)))
        live.bind(binding(queue=f"a{number}", x_match=text("any"), other=("signedint", number)))
    looked_at = []
    for pattern in live._patterns.values():
        pattern.wanted = CountingItems(pattern.wanted, looked_at)

    headers = {"format": text("pdf"), "number": ("long", 7), "other": ("signedint", 8)}
    assert routed(live, headers=headers) == {"q7", "a8"}
    assert len(looked_at) < 10


class CountingItems(dict):
    def __init__(self, values, calls):
        super().__init__(values)
        self.calls = calls

    def items(self):
        self.calls.append(1)
        return super().items()


def test_headers_exchange_keeps_nothing_of_what_is_gone():
    live = exchange("headers")
    several = [
        binding(a=ONE, b=TWO),
        binding(a=VOID),
        binding(),
        binding(x_match=text("any"), a=ONE, b=VOID),
        binding(a=("array", [ONE])),
    ]
    for item in several:
        live.bind(item)
    for item in several:
        live.unbind(item)

    assert (live._patterns, live._buckets, live._unsorted) == ({}, {}, {})


@pytest.mark.parametrize(
    ("field", "text"),
    [
        # recorded: 3.10.8
        (text("bogus"), 'value <<"bogus">>; expected all, any, all-with-x, or any-with-x'),
        (text("ALL"), 'value <<"ALL">>; expected all, any, all-with-x, or any-with-x'),
        (text(""), "value <<>>; expected all, any, all-with-x, or any-with-x"),
        (("longstr", b"\1\2"), "value <<1,2>>; expected all, any, all-with-x, or any-with-x"),
        (text("é"), 'value <<"é">>; expected all, any, all-with-x, or any-with-x'),
        (text('a"b\\c'), 'value <<"a\\"b\\\\c">>; expected all, any, all-with-x, or any-with-x'),
        (("signedint", 5), "type signedint (value 5); expected longstr"),
        (("bool", True), "type bool (value true); expected longstr"),
        (VOID, "type void (value undefined); expected longstr"),
        (("double", 1e20), "type double (value 1.0e20); expected longstr"),
        (("double", 1e-7), "type double (value 1.0e-7); expected longstr"),
        (("double", 123456789.125), "type double (value 123456789.125); expected longstr"),
        (
            ("array", [("signedint", 1), text("y")]),
            'type array (value [{signedint,1},{longstr,<<"y">>}]); expected longstr',
        ),
        (("decimal", (1, 5)), "type decimal (value {1,5}); expected longstr"),
        (("binary", b"all"), 'type binary (value <<"all">>); expected longstr'),
    ],
)
def test_headers_refuses_a_bad_x_match(field, text):
    with pytest.raises(ChannelError) as caught:
        exchange("headers").validate_binding(binding(x_match=field))
    assert caught.value.code is ReplyCode.PRECONDITION_FAILED
    assert caught.value.text == f"Invalid x-match field {text}"


@pytest.mark.parametrize("value", ["all", "any", "all-with-x", "any-with-x"])
def test_headers_takes_a_good_x_match(value):
    exchange("headers").validate_binding(binding(x_match=text(value)))
    exchange("headers").validate_binding(binding())


def test_bad_x_match_from_a_file_counts_as_all():
    live = exchange("headers")
    live.bind(binding(x_match=("table", {}), a=ONE))

    assert routed(live, headers={"a": ONE}) == {"q"}
    assert routed(live, headers={}) == set()


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic"])
def test_other_types_take_any_arguments(kind):
    exchange(kind).validate_binding(binding(x_match=("signedint", 5)))


# -- registry and alternate exchange ----------------------------------------------------------


def test_only_headers_need_headers():
    assert {name for name, kind in BUILT_IN.items() if kind.needs_headers} == {"headers"}


@pytest.mark.parametrize(
    ("name", "word"), [("bogus", "unknown"), ("é", "unknown"), ("", "invalid")]
)
def test_unknown_type_ends_the_connection(name, word):
    with pytest.raises(ConnectionError_) as caught:
        check_type(name)
    assert caught.value.code is ReplyCode.COMMAND_INVALID
    assert caught.value.text == f"{word} exchange type '{name}'"


def test_alternate_exchange_argument_has_to_be_a_name():
    resource = Resource("exchange", "/", "x")

    check_arguments(resource, {"alternate-exchange": text("ae"), "other": ONE})
    with pytest.raises(ChannelError) as caught:
        check_arguments(resource, {"alternate-exchange": ONE})
    assert caught.value.code is ReplyCode.PRECONDITION_FAILED
    assert caught.value.text == (
        "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"
    )


class Policy:
    name = "p"

    def __init__(self, **definition):
        self.definition = {key.replace("_", "-"): value for key, value in definition.items()}


def test_alternate_exchange_argument_beats_policy():
    live = make_exchange(ExchangeDefinition("/", "x", "direct"))
    assert live.alternate_exchange is None
    live.policy = Policy(alternate_exchange="from-policy")
    assert live.alternate_exchange == "from-policy"
    live.policy = Policy(alternate_exchange=5)
    assert live.alternate_exchange is None

    stated = exchange("direct", **{"alternate-exchange": text("stated")})
    stated.policy = Policy(alternate_exchange="from-policy")
    assert stated.alternate_exchange == "stated"


def test_predeclared_exchanges():
    """recorded: 3.10.8, list_exchanges on a new vhost."""
    found = {(item.name, item.type, item.internal) for item in predeclared("/v")}

    assert found == {
        ("", "direct", False),
        ("amq.direct", "direct", False),
        ("amq.fanout", "fanout", False),
        ("amq.headers", "headers", False),
        ("amq.match", "headers", False),
        ("amq.rabbitmq.trace", "topic", True),
        ("amq.topic", "topic", False),
    }
    assert all(item.durable and not item.auto_delete for item in predeclared("/v"))
