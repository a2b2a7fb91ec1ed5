"""The checks of mqctl doctor, over facts made up for each."""

from __future__ import annotations

import pytest

from mqctl.doctor.checks import CHECKS
from mqctl.doctor.findings import ERROR, WARNING, Outcome, Seen, examine
from mqd.rpc.v1 import doctor_pb2 as pb

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
UP = Seen(True, now_ms=NOW_MS, cookie_hash="same")
DOWN = Seen(False, "nobody answers", now_ms=NOW_MS, cookie_hash="same")
OFFLINE = Seen(False, "", offline=True, now_ms=NOW_MS, cookie_hash="same")


def well() -> pb.Facts:
    """A node with which nothing is wrong."""
    return pb.Facts(
        node="rabbit@con1",
        pid=70,
        app="running",
        user="mqd",
        uid=990,
        names=pb.NameFacts(
            host="con1", addresses=["172.16.254.60"], is_local=True, back=["con1.example"]
        ),
        clock=pb.ClockFacts(now_ms=NOW_MS, synchronised=True, newest_file_ms=NOW_MS - 1),
        open_files=pb.OpenFilesFacts(limit=65_536, used=30),
        cookie=pb.CookieFacts(
            path="/c",
            exists=True,
            mode=0o400,
            owner="mqd",
            owner_uid=990,
            hash="same",
            file_hash="same",
        ),
        disc=pb.DiscFacts(
            path="/data",
            free_bytes=10**11,
            limit_bytes=50_000_000,
            free_inodes=900,
            inodes=1000,
            sync_count=32,
            sync_median_us=800,
            sync_max_us=3000,
        ),
        directories=[
            pb.DirectoryFacts(purpose="data", path="/data", exists=True, owner="mqd", owner_uid=990)
        ],
        ports=[
            pb.PortFacts(
                address="::",
                port=5672,
                purpose="amqp",
                is_listened=True,
                holder_pid=70,
                holder_name="mqd",
            )
        ],
        memory=pb.MemoryFacts(
            total_bytes=8 * 2**30,
            machine_bytes=8 * 2**30,
            limit_bytes=3 * 2**30,
            used_bytes=60 * 2**20,
        ),
        configuration=pb.ConfigurationFacts(files=["/etc/rabbitmq/rabbitmq.conf"]),
        plugins=pb.PluginFacts(file="/etc/rabbitmq/enabled_plugins", wanted=["a"], running=["a"]),
        service=pb.ServiceFacts(
            unit="mqd.service",
            is_ours=True,
            active="active",
            sub="running",
            enabled="enabled",
            result="success",
            main_pid=70,
        ),
    )


def found(facts: pb.Facts, seen: Seen = UP) -> list[tuple[str, str, str, str]]:
    """(check, severity, what, fix) of each finding."""
    return [
        (outcome.check, finding.severity, finding.what, finding.fix)
        for outcome in examine(CHECKS, facts, seen)
        for finding in outcome.findings
    ]


def only(facts: pb.Facts, seen: Seen = UP) -> tuple[str, str, str, str]:
    findings = found(facts, seen)
    assert len(findings) == 1, findings
    return findings[0]


def changed(**changes: object) -> pb.Facts:
    """well() with the fields of one message, or of its first row, set."""
    facts = well()
    for name, values in changes.items():
        part = getattr(facts, name)
        if not hasattr(part, "DESCRIPTOR"):
            part = part[0]
        assert isinstance(values, dict)
        for field, value in values.items():
            if isinstance(value, list):
                del getattr(part, field)[:]
                getattr(part, field).extend(value)
            else:
                setattr(part, field, value)
    return facts


def test_nothing_is_wrong_with_a_node_that_is_well() -> None:
    outcomes = examine(CHECKS, well(), UP)
    assert [o.findings for o in outcomes if o.findings] == []
    told = {o.check: o.status for o in outcomes}
    assert told.pop("certificates") == "skipped"
    assert set(told.values()) == {"ok"}


def test_nothing_is_known_of_nothing() -> None:
    """A node whose configuration does not even tell its paths."""
    assert only(pb.Facts(node="rabbit@con1"), DOWN)[:2] == ("node", ERROR)
    assert found(pb.Facts(node="rabbit@con1"), OFFLINE) == []


def test_names_are_each_once() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)


CASES = [
    # what differs, check, severity, a part of what is said, a part of the fix
    (
        {"names": {"addresses": [], "trouble": "Name or service not known"}},
        "names",
        ERROR,
        "'con1' does not resolve",
        "/etc/hosts",
    ),
    ({"names": {"is_local": False}}, "names", ERROR, "no address of this machine", "/etc/hosts"),
    (
        {"names": {"back": ["other.example"]}},
        "names",
        WARNING,
        "leads back to other.example",
        "echo '172.16.254.60 con1' >>/etc/hosts",
    ),
    ({"clock": {"now_ms": 5 * DAY_MS}}, "clock", ERROR, "shows 1970-01-06", "timedatectl"),
    (
        {"clock": {"newest_file_ms": NOW_MS + 90_000}},
        "clock",
        WARNING,
        "90 s in the future",
        "timedatectl",
    ),
    (
        {"clock": {"synchronised": False}},
        "clock",
        WARNING,
        "not synchronised",
        "timedatectl set-ntp true",
    ),
    ({"open_files": {"limit": 1024}}, "open_files", WARNING, "only 1024", "LimitNOFILE=65536"),
    ({"open_files": {"used": 65_000}}, "open_files", ERROR, "65000 of 65536", "LimitNOFILE"),
    (
        {"cookie": {"exists": False, "file_hash": ""}},
        "cookie",
        WARNING,
        "is gone",
        "systemctl restart mqd",
    ),
    ({"cookie": {"mode": 0o644}}, "cookie", ERROR, "mode 0644", "chmod 400 /c"),
    ({"cookie": {"owner_uid": 0, "owner": "root"}}, "cookie", ERROR, "is root's", "chown mqd: /c"),
    (
        {"cookie": {"file_hash": "other"}},
        "cookie",
        WARNING,
        "another cookie than /c has now",
        "systemctl restart mqd",
    ),
    ({"cookie": {"trouble": "is empty"}}, "cookie", ERROR, "/c is empty", "rm -f /c"),
    ({"disc": {"free_bytes": 1_000_000}}, "disc_space", ERROR, "less than the limit", "du -xh"),
    ({"disc": {"free_bytes": 60_000_000}}, "disc_space", WARNING, "57.2 MiB are free", "du -xh"),
    ({"disc": {"free_inodes": 1}}, "disc_space", ERROR, "1 more files", "df -i /data"),
    ({"disc": {"sync_median_us": 40_000}}, "disc_latency", WARNING, "takes 40 ms", "iostat"),
    ({"disc": {"sync_median_us": 400_000}}, "disc_latency", ERROR, "takes 400 ms", "findmnt"),
    (
        {"directories": {"owner_uid": 0, "owner": "root"}},
        "directories",
        ERROR,
        "is root's",
        "chown -R mqd: /data",
    ),
    (
        {"directories": {"foreign_count": 2, "foreign_example": "/data/x"}},
        "directories",
        ERROR,
        "2 files in /data are another user's: /data/x",
        "chown -R mqd: /data",
    ),
    ({"directories": {"exists": False}}, "directories", ERROR, "is not there", "install -d"),
    (
        {"ports": {"is_listened": False}},
        "ports",
        ERROR,
        "nobody listens on port 5672",
        "systemctl restart mqd",
    ),
    (
        {"memory": {"limit_bytes": 0}},
        "memory",
        ERROR,
        "0 bytes",
        "mqctl -n rabbit@con1 set_vm_memory_high_watermark 0.4",
    ),
    ({"memory": {"limit_bytes": 7 * 2**30}}, "memory", WARNING, "7 GiB, of 8 GiB", "0.4"),
    ({"memory": {"machine_bytes": 2**30}, "disc": {}}, "memory", ERROR, "", ""),
    (
        {"memory": {"used_bytes": 4 * 2**30}},
        "memory",
        ERROR,
        "4 GiB of memory are in use",
        "memory_breakdown",
    ),
    ({"memory": {"swapped_bytes": 2**30}}, "swap", WARNING, "1 GiB of the node's", "swappiness"),
    (
        {"configuration": {"problems": ["/etc/r.conf:7: unknown key 'x'"]}},
        "configuration",
        ERROR,
        "/etc/r.conf:7: unknown key 'x'",
        "${EDITOR:-vi} +7 /etc/r.conf && mqd --check",
    ),
    (
        {"configuration": {"warnings": ["/etc/r.config is not read"]}},
        "configuration",
        WARNING,
        "is not read",
        "mqd --check",
    ),
    (
        {"plugins": {"running": []}},
        "plugins",
        WARNING,
        "a: in /etc/rabbitmq/enabled_plugins",
        "mq-plugins -n rabbit@con1 enable a",
    ),
    (
        {"plugins": {"running": ["a", "b"]}},
        "plugins",
        WARNING,
        "b: running, but not in",
        "enable b",
    ),
    (
        {"plugins": {"trouble": "/e:1: a name expected"}},
        "plugins",
        ERROR,
        "a name expected",
        "mq-plugins set --offline",
    ),
    (
        {"service": {"enabled": "disabled"}},
        "service",
        WARNING,
        "not enabled",
        "systemctl enable mqd",
    ),
    ({"service": {"enabled": "masked"}}, "service", ERROR, "masked", "systemctl unmask mqd"),
    (
        {"service": {"restarts": 3}},
        "service",
        WARNING,
        "restarted the node 3 times",
        "journalctl -u mqd",
    ),
]


@pytest.mark.parametrize(
    ("changes", "check", "severity", "what", "fix"), CASES, ids=[f"{c[1]}: {c[3]}" for c in CASES]
)
def test_what_is_wrong_is_found_and_mended(
    changes: dict[str, object], check: str, severity: str, what: str, fix: str
) -> None:
    findings = found(changed(**changes))
    assert {finding[0] for finding in findings} == {check}
    assert findings[0][1] == severity
    assert what in findings[0][2]
    assert fix in findings[0][3]


def test_a_node_that_is_down_is_not_well_unless_nobody_asked() -> None:
    facts = changed(ports={"is_listened": False, "holder_pid": 0})
    facts.pid = 0
    facts.ClearField("app")
    assert only(facts, DOWN) == (
        "node",
        ERROR,
        "rabbit@con1 does not run: nobody answers",
        "systemctl start mqd",
    )
    assert found(facts, OFFLINE) == []
    facts.service.ClearField("is_ours")
    assert only(facts, DOWN)[3] == "mqd -detached"


def test_a_process_that_does_not_answer() -> None:
    facts = well()
    facts.ClearField("app")
    assert (
        only(facts, DOWN)[2] == "process 70 of rabbit@con1 runs and does not answer: nobody answers"
    )


def test_another_cookie_keeps_a_tool_out() -> None:
    facts = well()
    findings = found(facts, DOWN._replace(cookie_hash="other"))
    assert [finding[0] for finding in findings] == ["node", "cookie"]
    assert findings[1][3] == "install -m 400 /c ~/.erlang.cookie"


def test_an_application_that_is_stopped() -> None:
    facts = well()
    facts.app = "stopped"
    assert only(facts)[3] == "mqctl -n rabbit@con1 start_app"


@pytest.mark.parametrize(
    ("name", "pid", "fix"),
    [
        ("beam.smp", 9, "systemctl disable --now rabbitmq-server"),
        ("nginx", 9, "ps -fp 9; kill 9"),
        ("", 0, "sudo ss -ltnp 'sport = :5672'"),
    ],
)
def test_somebody_else_has_the_port(name: str, pid: int, fix: str) -> None:
    facts = changed(ports={"holder_name": name, "holder_pid": pid})
    facts.pid = 0
    assert next(f for f in found(facts, OFFLINE) if f[0] == "ports")[3] == fix


def test_a_failed_unit() -> None:
    facts = changed(service={"active": "failed", "result": "exit-code", "main_pid": 0})
    assert only(facts)[2] == "the unit mqd.service has failed: exit-code"


def certificate(**fields: object) -> pb.Facts:
    facts = well()
    values: dict[str, object] = {
        "key": "ssl_options.certfile",
        "path": "/c.pem",
        "kind": "certificate",
        "from_ms": NOW_MS - DAY_MS,
        "until_ms": NOW_MS + 300 * DAY_MS,
        "subject": "CN=con1",
    }
    facts.certificates.append(pb.CertificateFacts(**(values | fields)))  # type: ignore[arg-type]
    return facts


@pytest.mark.parametrize(
    ("fields", "severity", "what"),
    [
        ({"until_ms": NOW_MS - 1}, ERROR, "is over since"),
        ({"until_ms": NOW_MS - 1, "without_effect": "no TLS"}, WARNING, "is over since"),
        ({"until_ms": NOW_MS + 9 * DAY_MS}, WARNING, "ends on"),
        ({"from_ms": NOW_MS + DAY_MS}, ERROR, "is not valid before"),
        ({"trouble": "is not the key of /c.pem", "kind": "key"}, ERROR, "is not the key"),
        ({"kind": "key", "until_ms": 0, "is_open": True}, WARNING, "everybody"),
    ],
)
def test_certificates(fields: dict[str, object], severity: str, what: str) -> None:
    finding = only(certificate(**fields))
    assert finding[:2] == ("certificates", severity)
    assert what in finding[2]


def test_a_certificate_that_is_valid() -> None:
    assert found(certificate()) == []


@pytest.mark.parametrize(
    ("what", "origin", "fix"),
    [
        ("x.y", "/etc/r.conf:7", "sed -i '7s/^/# /' /etc/r.conf && mqd --check"),
        ("X", "/etc/rabbitmq-env.conf:7", "${EDITOR:-vi} +7 /etc/rabbitmq-env.conf && mqd --check"),
        ("x", "/etc/a.config:7", "${EDITOR:-vi} +7 /etc/a.config && mqd --check"),
        ("RABBITMQ_X", "RABBITMQ_X", "unset RABBITMQ_X"),
    ],
)
def test_what_has_no_effect(what: str, origin: str, fix: str) -> None:
    facts = well()
    facts.configuration.notes.add(what=what, reason="because", origin=origin)
    assert only(facts)[3] == fix


def test_every_finding_has_a_reason_and_a_command() -> None:
    for changes, *_ in CASES:
        for outcome in examine(CHECKS, changed(**changes), UP):
            for finding in outcome.findings:
                assert finding.why
                assert finding.fix


def test_the_worst_is_the_status() -> None:
    facts = changed(service={"enabled": "disabled", "active": "failed"})
    assert {o.check: o.status for o in examine(CHECKS, facts, UP)}["service"] == ERROR
    assert Outcome("x", "", []).status == "skipped"


def test_a_clock_far_from_another_machines() -> None:
    seen = UP._replace(is_here=False, now_ms=NOW_MS + 60_000)
    assert "60 s apart" in only(well(), seen)[2]
