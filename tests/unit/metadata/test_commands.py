"""mqd.metadata.commands: every command survives the log."""

from __future__ import annotations

import base64
import typing

import pytest

from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.errors import ErrorCode, MqdError
from mqd.metadata import commands
from mqd.metadata.commands import (
    NOTHING,
    Command,
    Line,
    Must,
    VhostRecord,
    decode,
    decode_line,
    encode,
    encode_outcome,
)

ARGUMENTS = {
    "x-max-length": ("long", 2**40),
    "x-bytes": ("longstr", b"\xff\x00"),
    "x-table": ("table", {"a": ("array", [("bool", True), ("void", None)])}),
    "x-decimal": ("decimal", (2, 314)),
    "x-double": ("double", 0.1),
}
USER = User("ü\udcff", b"\x00\xffsalted", "rabbit_password_hashing_sha512", ("administrator",))
BINDING = BindingDefinition("/", "amq.topic", "queue", "q", "a.#", ARGUMENTS)
ALL: list[Command] = [
    commands.PutVhost(VhostRecord("v", "what", ("a", "b"), "quorum", True), Must.BE_NEW),
    commands.DeleteVhost("v"),
    commands.PutUser(USER, Must.EXIST),
    commands.DeleteUser("u"),
    commands.PutPermission("u", "v", Permission("^c", "", ".*")),
    commands.DeletePermission("u", "v"),
    commands.PutTopicPermission("u", "v", "amq.topic", TopicPermission("w", "r")),
    commands.DeleteTopicPermission("u", "v"),
    commands.PutParameter("v", "policy", "p", {"pattern": "\u2028", "definition": {"n": 2**60}}),
    commands.DeleteParameter("v", "policy", "p"),
    commands.PutGlobalParameter("g", [1, None, {"a": 0.5}]),
    commands.DeleteGlobalParameter("g"),
    commands.PutExchange(ExchangeDefinition("/", "x\n", "headers", arguments=ARGUMENTS)),
    commands.DeleteExchange("/", "x"),
    commands.DeleteExchange("/", "x", if_unused=True),
    commands.PutQueue(QueueDefinition(2**40, "/", "q", exclusive=True, arguments=ARGUMENTS)),
    commands.DeleteQueue("/", "q"),
    commands.PutBinding(BINDING),
    commands.DeleteBinding(BINDING),
    commands.PutMember(commands.Member("a@b", "00ff00ff", 3, "ram", "b", 1, 2, 3)),
    commands.DeleteMember("a@b"),
    commands.PutCluster(commands.ClusterRecord("id", 7, "a@b")),
    commands.PutCluster(None),
    commands.Batch((commands.PutUser(USER, Must.BE_NEW), commands.PutBinding(BINDING))),
]


def test_the_list_above_is_complete() -> None:
    assert {type(each) for each in ALL} == set(typing.get_args(Command))


def test_a_line_with_a_proposal_and_what_became_of_one() -> None:
    command = commands.DeleteQueue("/", "q", 7)
    assert decode_line(encode(command)) == Line(command)
    assert decode_line(encode(command, "p.1.0")) == Line(command, "p.1.0")
    assert decode_line(encode_outcome("p.1.0", None, 9)) == Line(NOTHING, "p.1.0", None, 9)
    why = MqdError(ErrorCode.NOT_FOUND, "no ü")
    line = decode_line(encode_outcome("p.2.0", why))
    assert line.refusal is not None
    assert (line.refusal.code, line.refusal.detail) == (why.code, why.detail)
    assert line[:2] == (NOTHING, "p.2.0")
    for wrong in ("[]", "{}", "[1,2]", '["batch",1,{"commands":[]},"p",[99,"?"],0]'):
        with pytest.raises(MqdError, match="what is no command"):
            decode_line(wrong)


@pytest.mark.parametrize("command", ALL, ids=lambda each: type(each).__name__)
def test_round_trip(command: Command) -> None:
    line = encode(command)
    assert len(line.splitlines()) == 1
    assert decode(line) == command


def test_version_1_is_read_for_ever() -> None:
    line = (
        '["put_queue",1,{"queue":{"id":5,"vhost":"/","name":"q","durable":true,'
        '"auto_delete":false,"exclusive":false,"arguments":{"x-expires":["signedint",9]},'
        '"type":"classic"}}]'
    )
    queue = QueueDefinition(5, "/", "q", arguments={"x-expires": ("signedint", 9)})
    assert decode(line) == commands.PutQueue(queue)


def test_a_field_that_an_older_mqd_did_not_write_takes_its_default() -> None:
    assert decode('["put_vhost",1,{"vhost":{"name":"v"}}]') == commands.PutVhost(VhostRecord("v"))


@pytest.mark.parametrize("line", ['["put_moon",1,{}]', '["put_vhost",2,{}]'])
def test_a_newer_command_is_refused(line: str) -> None:
    with pytest.raises(MqdError, match="does not know: start the newer mqd") as caught:
        decode(line)
    assert caught.value.code is ErrorCode.PRECONDITION_FAILED


@pytest.mark.parametrize("line", ["", "{}", "[1,2", '["put_vhost",1,{"vhost":{}}]', "[1]"])
def test_what_is_no_command_is_named(line: str) -> None:
    with pytest.raises(MqdError, match=r"is no command|does not know"):
        decode(line)


def test_an_error_tells_nothing_of_a_user() -> None:
    line = encode(commands.PutUser(User("u", b"salt and digest")))
    secret = base64.b64encode(b"salt and digest").decode()
    assert secret in line
    with pytest.raises(MqdError) as caught:
        decode_line(line[:-1])
    assert caught.value.detail.endswith('is no command: ["put_user"')
