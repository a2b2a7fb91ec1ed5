"""Terms in every format, byte for byte (observed: rabbitmqctl 3.10.8)."""

from __future__ import annotations

import pytest

from mqctl.output import csv, erlang, inspect, json, pretty_table, table
from mqctl.output.terms import Atom, Chars, Octets, Pid, address, from_term
from mqd.rpc.v1 import values_pb2

PID = Pid("<rabbit@host.1795354533.5695.0>")
TABLE = [
    ("b", Atom("bool"), True),
    ("l", Atom("array"), [(Atom("signedint"), 1), (Atom("longstr"), "a")]),
    ("n", Atom("void"), Atom("undefined")),
    ("t", Atom("table"), [("z", Atom("longstr"), "é"), ("y", Atom("longstr"), "€")]),
    ("x", Atom("longstr"), ""),
]


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("a\tb", "a\tb"),
        (Atom(""), ""),
        (True, "true"),
        (0.5, "0.5"),
        ([], "[]"),
        ([Atom("a"), Atom("b")], "[a, b]"),
        (PID, "<rabbit@host.1795354533.5695.0>"),
        ((0, 9, 1), "{0,9,1}"),
        ((False, 0), "{false, 0}"),
        (address("127.0.0.1"), "127.0.0.1"),
        (address("::1"), "::1"),
        (address("host name"), "host name"),
        ([(Atom("n@h"), Atom("running"))], "[{n@h, running}]"),
        (
            TABLE,
            '[{"b",true},{"l",[1,"a"]},{"n",undefined},{"t",[{"z","é"},{"y",[8364]}]},{"x",[]}]',
        ),
    ],
)
def test_cells(term: object, text: str) -> None:
    assert table.cell(term) == text


def test_rows_of_a_table() -> None:
    row = [(Atom("user"), "uu"), (Atom("tags"), [Atom("a")])]
    assert table.header(row) == "user\ttags"
    assert table.line(row) == "uu\t[a]"
    assert table.line(row, pad_to_header=True) == "uu  \t[a] "


def test_csv_quotes_everything() -> None:
    assert csv.record(['a"b', 0, True, TABLE[:1]]) == '"a""b","0","true","[{""b"",true}]"'


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ({"b": 1, "a": None}, '{"a":null,"b":1}'),
        ([(Atom("z"), 1), (Atom("a"), Atom("x"))], '{"z":1,"a":"x"}'),
        ([], "[]"),
        ((0, 9, 1), "[0,9,1]"),
        (PID, '"#PID<rabbit@host.1795354533.5695.0>"'),
        (Chars("AB"), "[65,66]"),
        ('q"\\\n\x01ü', '"q\\"\\\\\\n\\u0001ü"'),
        (Atom(""), '""'),
        (TABLE[:1], '[["b","bool",true]]'),
        (1.5, "1.5"),
    ],
)
def test_json(term: object, text: str) -> None:
    assert json.encode(term) == text


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("ab", '<<"ab">>'),
        ("", "<<>>"),
        ("a\x01", "<<97,1>>"),
        (Atom("ok"), "ok"),
        (Atom(""), "''"),
        (Atom("amqp/ssl"), "'amqp/ssl'"),
        (Atom("end"), "'end'"),
        (Chars('a"b'), '"a\\"b"'),
        (Chars(""), "[]"),
        (1e-05, "1.0e-5"),
        (1e20, "1.0e20"),
        ({Atom("k"): 1}, "#{k => 1}"),
        ([(Atom("a"), [1, 2])], "[{a,[1,2]}]"),
    ],
)
def test_erlang_on_one_line(term: object, text: str) -> None:
    assert erlang.format_term(term) == text


def test_erlang_breaks_lines_under_the_tag() -> None:
    row = [
        (Atom("source_name"), ""),
        (Atom("destination_kind"), Atom("queue")),
        (Atom("arguments"), [("b", Atom("bool"), True), ("h", Atom("signedint"), 1)]),
        (Atom("routing_key"), "long enough to need a line"),
    ]
    assert erlang.format_term([row]) == (
        "[[{source_name,<<>>},\n"
        "  {destination_kind,queue},\n"
        '  {arguments,[{<<"b">>,bool,true},{<<"h">>,signedint,1}]},\n'
        '  {routing_key,<<"long enough to need a line">>}]]'
    )


def test_erlang_indents_by_four_where_the_tag_leaves_no_room() -> None:
    node = Atom("rabbit@host.example")
    options = [(Atom("backlog"), 128), (Atom("nodelay"), True)]
    listener = (Atom("listener"), node, Atom("amqp"), Chars("host"), (127, 0, 0, 1), 5672, options)
    versions = {
        Atom("erlang_version"): "25.2.3",
        Atom("rabbitmq_name"): "RabbitMQ",
        Atom("rabbitmq_version"): "3.10.8",
    }
    term = [
        (Atom("listeners"), [(node, [listener])]),
        (Atom("versions"), [(node, versions)]),
    ]
    assert erlang.format_term(term) == (
        "[{listeners,\n"
        "     [{'rabbit@host.example',\n"
        """          [{listener,'rabbit@host.example',amqp,"host",
"""
        "               {127,0,0,1},\n"
        "               5672,\n"
        "               [{backlog,128},{nodelay,true}]}]}]},\n"
        " {versions,\n"
        "     [{'rabbit@host.example',\n"
        '          #{erlang_version => <<"25.2.3">>,rabbitmq_name => <<"RabbitMQ">>,\n'
        '            rabbitmq_version => <<"3.10.8">>}}]}]'
    )


def test_erlang_packs_empty_maps_with_what_follows() -> None:
    inner = {Atom("aa"): {}, Atom("bb"): Atom("x"), Atom("cc"): ["y" * 60]}
    assert erlang.format_term(inner).splitlines()[0] == "#{aa => #{},bb => x,"


def test_erlang_lets_a_long_text_overhang() -> None:
    text = "Default bindings are now implicit, instead of being stored in the database"
    term = [[(Atom("desc"), text), (Atom("state"), Atom("enabled"))]]
    expected = f'[[{{desc,<<"{text}">>}},\n  {{state,enabled}}]]'
    assert erlang.format_term(term) == expected


def test_erlang_packs_atoms_on_lines() -> None:
    names = "blake2s,blake2b,sha3_512,sha3_384,sha3_256,sha3_224,sha512,sha384,sha256,sha224,sha"
    term = [Atom(name) for name in [*names.split(","), "ripemd160", "md5", "md4"]]
    assert erlang.format_term(term) == (
        "[blake2s,blake2b,sha3_512,sha3_384,sha3_256,sha3_224,sha512,sha384,sha256,\n"
        " sha224,sha,ripemd160,md5,md4]"
    )


def test_inspect() -> None:
    row = [(Atom("user"), "guest"), (Atom("tags"), [Atom("administrator")])]
    assert inspect.inspect(row) == '[user: "guest", tags: [:administrator]]'
    assert inspect.inspect({"a": (1, Atom("x y"))}) == '%{"a" => {1, :"x y"}}'
    assert (
        inspect.inspect({Atom("b"): 1.5, Atom("a"): Octets("\x01é")}) == "%{a: <<1, 233>>, b: 1.5}"
    )
    assert inspect.inspect(Chars("")) == "[]"
    assert inspect.inspect('\x1b[1m"#{a}"\n') == '"\\e[1m\\"\\#{a}\\"\\n"'
    assert inspect.inspect("a\x01") == "<<97, 1>>"
    assert inspect.text("as it is") == "as it is"
    assert inspect.text(Atom("ok")) == "ok"


def test_pretty_table() -> None:
    rows = [
        [(Atom("user"), "bob"), (Atom("tags"), [])],
        [(Atom("user"), "guest"), (Atom("tags"), [Atom("administrator")])],
    ]
    on, off, bold, plain = "\x1b(0", "\x1b(B", "\x1b[1m", "\x1b[0m"
    bar = f"{on}x{off}"
    assert pretty_table.table_box(rows).split("\n") == [
        f"{on}lqqqqqqqwqqqqqqqqqqqqqqqk{off}",
        f"{bar} {bold}user{plain}  {bar} {bold}tags{plain}          {bar}",
        f"{on}tqqqqqqqnqqqqqqqqqqqqqqqu{off}",
        f"{bar} bob   {bar}               {bar}",
        f"{on}tqqqqqqqnqqqqqqqqqqqqqqqu{off}",
        f"{bar} guest {bar} administrator {bar}",
        f"{on}mqqqqqqqvqqqqqqqqqqqqqqqj{off}",
    ]


def test_terms_from_the_wire() -> None:
    message = values_pb2.Term(
        proplist=values_pb2.TermMap(
            pairs=[
                values_pb2.TermPair(
                    key=values_pb2.Term(atom="rabbit"),
                    value=values_pb2.Term(
                        list=values_pb2.TermList(items=[values_pb2.Term(integer=1)])
                    ),
                )
            ]
        )
    )
    assert from_term(message) == [(Atom("rabbit"), [1])]
