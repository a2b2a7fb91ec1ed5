"""Network interfaces of this machine.

Decides how the kernel's answers become facts: names, flags, addresses. Linux alone: other systems
have names and nothing else here. Never resolves or connects.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFNETMASK, _SIOCGIFBRDADDR = 0x8913, 0x8915, 0x891B, 0x8919
_FLAGS: Final = ((0x1, "up"), (0x2, "broadcast"), (0x8, "loopback"), (0x10, "pointtopoint"))
_LATER_FLAGS: Final = ((0x40, "running"), (0x1000, "multicast"))
_NO_ADDRESS: Final = "0.0.0.0"  # noqa: S104 nothing binds to it
_IPV6_TABLE: Final = Path("/proc/net/if_inet6")


@dataclass(slots=True)
class Address:
    """As text; broadcast is empty where there is none."""

    address: str
    netmask: str
    broadcast: str = ""


@dataclass(slots=True)
class Interface:
    """flags: in Erlang's words. hardware: as Erlang prints it, 2:FC:0:0:0:1."""

    name: str
    flags: list[str] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    hardware: str = ""


def interfaces() -> list[Interface]:
    """All there are, by name; those with nothing to tell of included."""
    found = {name: Interface(name) for _, name in sorted(socket.if_nameindex(), key=lambda i: i[1])}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for interface in found.values():
            interface.flags = _flags(probe, interface.name)
            address = _ipv4(probe, interface.name)
            if address is not None:
                interface.addresses.append(address)
            interface.hardware = _hardware(interface.name)
    for name, address in reversed(_ipv6()):  # the table is in the opposite order
        if name in found:
            found[name].addresses.append(address)
    return list(found.values())


def _ask(probe: socket.socket, request: int, name: str) -> bytes | None:
    try:
        return fcntl.ioctl(probe.fileno(), request, struct.pack("256s", name.encode()[:15]))
    except OSError:
        return None


def _flags(probe: socket.socket, name: str) -> list[str]:
    answer = _ask(probe, _SIOCGIFFLAGS, name)
    bits: int = struct.unpack_from("<H", answer, 16)[0] if answer else 0
    return [word for bit, word in (*_FLAGS, *_LATER_FLAGS) if bits & bit]


def _ipv4(probe: socket.socket, name: str) -> Address | None:
    def text(request: int) -> str:
        answer = _ask(probe, request, name)
        return socket.inet_ntoa(answer[20:24]) if answer else ""

    address = text(_SIOCGIFADDR)
    if not address:
        return None
    broadcast = text(_SIOCGIFBRDADDR)
    return Address(address, text(_SIOCGIFNETMASK), broadcast.replace(_NO_ADDRESS, ""))


def _hardware(name: str) -> str:
    try:
        text = Path(f"/sys/class/net/{name}/address").read_text().strip()
    except OSError:
        return ""
    return ":".join(f"{int(part, 16):X}" for part in text.split(":")) if text else ""


def _ipv6() -> list[tuple[str, Address]]:
    try:
        lines = _IPV6_TABLE.read_text().splitlines()
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [
        (
            row[5],
            Address(
                str(ipaddress.IPv6Address(bytes.fromhex(row[0]))),
                str(ipaddress.IPv6Network(f"::/{int(row[2], 16)}").netmask),
            ),
        )
        for row in rows
        if len(row) == 6
    ]
