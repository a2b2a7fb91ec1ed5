"""`mqd.amqp.states`: the tables."""

from __future__ import annotations

from typing import Any

from pamqp import commands

from mqd.amqp.states import ANSWERS_TO_CLIENT, HANDSHAKE, RABBIT_STATES, Phase

CATALOGUE: dict[int, Any] = commands.INDEX_MAPPING


def test_answers_are_a_servers_alone() -> None:
    """What a client may send too is none of them; all others of the catalogue are requests."""
    both_send = {"Channel.CloseOk", "Connection.CloseOk", "Channel.Close", "Connection.Close"}
    names = {CATALOGUE[index].name for index in ANSWERS_TO_CLIENT}
    assert not names & both_send
    for index, method in CATALOGUE.items():
        if method.name.endswith("Ok") and method.name not in both_send:
            known = index in ANSWERS_TO_CLIENT
            from_client = method.name in {"Connection.StartOk", "Connection.TuneOk"}
            from_client |= method.name == "Connection.SecureOk"
            assert known != from_client, method.name


def test_each_step_of_the_handshake_has_one_method() -> None:
    assert list(HANDSHAKE) == [Phase.START, Phase.TUNE, Phase.OPEN]
    assert set(RABBIT_STATES) == set(HANDSHAKE)
