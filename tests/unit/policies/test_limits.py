"""mqd.policies.limits (all observed: 3.10.8)."""

from __future__ import annotations

from mqd.policies.limits import OF_USER, OF_VHOST, faults, limit_reached


def test_faults_of_a_vhost() -> None:
    assert faults("limits", {"max-queues": -1, "max-connections": 0}, OF_VHOST) == []
    assert faults("limits", {"max-queues": "x", "bogus": 1, "max-connections": True}, OF_VHOST) == [
        'Unrecognised terms [{<<"bogus">>,1}] in limits',
        'max-queues should be a number, actually was <<"x">>',
        "max-connections should be a number, actually was true",
    ]
    assert faults("limits", {"max-queues": 1.5}, OF_VHOST) == [
        "max-queues should be a number, actually was 1.5"
    ]


def test_faults_of_a_user() -> None:
    assert faults("user-limits", {"max-queues": 1}, OF_USER) == [
        'Unrecognised terms [{<<"max-queues">>,1}] in user-limits'
    ]


def test_reached() -> None:
    assert limit_reached({"a": 2}, "a", 1) is None
    assert limit_reached({"a": 2}, "a", 2) == 2
    assert limit_reached({"a": 2}, "a", 3) == 2
    assert limit_reached({"a": 0}, "a", 0) == 0
    assert limit_reached({"a": -1}, "a", 9) is None
    assert limit_reached({}, "a", 9) is None
