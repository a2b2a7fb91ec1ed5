"""Facts of the machine: names, clock, swap, the service's unit.

Decides where each is read and how long that may take. Never judges: the tool does.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from mqd.daemon.clock import SystemClock
from mqd.rpc.v1 import doctor_pb2 as pb

UNIT: Final = "mqd.service"
RESOLVER_WITHIN_S: Final = 5.0
SYSTEMD_WITHIN_S: Final = 5.0
_UNSYNCHRONISED: Final = 0x0040  # timex.h: STA_UNSYNC
_STATUS_AT: Final = 40  # of struct timex, where a long has 8 bytes
_TIMESYNCD: Final = Path("/run/systemd/timesync/synchronized")
_PROPERTIES: Final = (
    "LoadState,ActiveState,SubState,UnitFileState,Result,MainPID,NRestarts,LimitNOFILE"
)

T = TypeVar("T")


class TooSlow(OSError):
    """It was not waited for."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises. Raises TooSlow when that takes longer; it is left behind
    then, for the resolver cannot be interrupted."""
    outcome: list[T] = []
    failure: list[Exception] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            failure.append(error)

    worker = threading.Thread(target=run, name="checkup", daemon=True)
    worker.start()
    worker.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise TooSlow(f"no answer within {seconds:g} s")
    return outcome[0]


def names(host: str) -> pb.NameFacts:
    """How the resolver sees the node's host."""
    facts = pb.NameFacts(host=host)
    try:
        found = within(
            RESOLVER_WITHIN_S, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        )
    except OSError as error:
        facts.trouble = error.strerror or str(error)
        return facts
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    facts.addresses.extend(addresses)
    facts.is_local = any(map(is_local, addresses))
    for address in addresses:
        with contextlib.suppress(OSError):
            facts.back.extend(within(RESOLVER_WITHIN_S, lambda a=address: _back(a)))  # type: ignore[misc]
    return facts


def _back(address: str) -> list[str]:
    name, aliases, _ = socket.gethostbyaddr(address)
    return [name, *aliases]


def is_local(address: str) -> bool:
    """Whether it is one of this machine's: somebody here could listen on it."""
    bare = address.partition("%")[0]
    if ipaddress.ip_address(bare).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        found = socket.getaddrinfo(address, 0, family, socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(found[0][4])
    except OSError:
        return False
    return True


def clock(newest_file_ms: int) -> pb.ClockFacts:
    """What it shows and whether somebody sets it."""
    facts = pb.ClockFacts(now_ms=SystemClock().wall_ms(), newest_file_ms=newest_file_ms)
    known = is_synchronised()
    if known is not None:
        facts.synchronised = known
    return facts


def is_synchronised() -> bool | None:
    """As the kernel has been told; None where it does not say."""
    if _TIMESYNCD.exists():
        return True
    state = ctypes.create_string_buffer(256)
    try:
        answer = ctypes.CDLL(None).adjtimex(state)
    except (OSError, AttributeError):
        return None
    if answer < 0 or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    return not int.from_bytes(state.raw[_STATUS_AT : _STATUS_AT + 4], "little") & _UNSYNCHRONISED


def swap(pid: int) -> tuple[int, int, int]:
    """Bytes: of the process that are swapped out, of all in use, of all there are."""
    machine = dict(_sizes(Path("/proc/meminfo")))
    own = dict(_sizes(Path(f"/proc/{pid}/status"))) if pid else {}
    total = machine.get("SwapTotal", 0)
    return own.get("VmSwap", 0), total - machine.get("SwapFree", 0), total


def _sizes(path: Path) -> Iterator[tuple[str, int]]:
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            name, _, value = line.partition(":")
            words = value.split()
            if len(words) == 2 and words[1] == "kB":
                yield name, int(words[0]) * 1024


def service(pid: int, is_system: bool) -> pb.ServiceFacts:
    """Of the unit, where systemd runs and has it. pid: of the node, 0 where it does not run.
    is_system: whether it is the system's node, which the unit is for."""
    program = shutil.which("systemctl")
    if program is None or not os.path.isdir("/run/systemd/system"):
        return pb.ServiceFacts()
    command = [program, "show", UNIT, "--property", _PROPERTIES]
    try:
        done = subprocess.run(  # noqa: S603 - constant words
            command, capture_output=True, text=True, timeout=SYSTEMD_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return pb.ServiceFacts()
    return unit_facts(
        dict(line.partition("=")[::2] for line in done.stdout.splitlines()), pid, is_system
    )


def unit_facts(found: dict[str, str], pid: int, is_system: bool) -> pb.ServiceFacts:
    """From what `systemctl show` prints."""
    if found.get("LoadState") != "loaded":
        return pb.ServiceFacts()
    main_pid = _number(found.get("MainPID", ""))
    return pb.ServiceFacts(
        unit=UNIT,
        is_ours=main_pid == pid if pid else is_system,
        active=found.get("ActiveState", ""),
        sub=found.get("SubState", ""),
        enabled=found.get("UnitFileState", ""),
        result=found.get("Result", ""),
        main_pid=main_pid,
        restarts=_number(found.get("NRestarts", "")),
        open_files_limit=_number(found.get("LimitNOFILE", "")),
    )


def _number(text: str) -> int:
    return min(int(text), 2**62) if text.isascii() and text.isdigit() else 0
