"""Verbs for support: interfaces, cipher suites, threads, the log as it grows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.failures import Invalid, bad_argument, error
from mqctl.output.results import Lines, Result, Rows, Silence, Value
from mqctl.output.terms import Atom, Chars, Term

_FORMATS = {"openssl": "OpenSSL", "erlang": "Erlang term", "map": "map"}
_UNITS = ("days", "weeks", "months", "years")


class CipherSuites(Behaviour):
    """Cipher suites in one of three notations."""

    def validate(self) -> None:
        """The notation decides the shape."""
        super().validate()
        if self.invocation.request.format not in _FORMATS:
            raise bad_argument("Format should be either openssl, erlang or map")

    def banner(self) -> str:
        """The notation has a name for people."""
        return (
            f"Listing available cipher suites in {_FORMATS[self.invocation.request.format]} format"
        )

    def output(self, message: Any) -> Result:
        """One per line; the other two notations are terms between brackets."""
        notation = self.invocation.request.format
        items = [_SUITES[notation](suite) for suite in message.suites]
        formatter = self.options.get("formatter")
        if formatter is None:
            if notation == "openssl":
                return Lines(items)
            from mqctl.output.erlang import format_term

            return Lines(_bracketed(format_term(item) for item in items))
        if self.invocation.is_json:
            return Rows(items)
        if formatter in ("table", "inspect"):
            from mqctl.output.inspect import inspect

            return Lines(inspect(item) for item in items)
        return Value(items, wrapped=formatter != "erlang")


def _bracketed(lines: Iterable[str]) -> Iterable[str]:
    yield "["
    for index, line in enumerate(lines):
        yield ("," if index else "") + line
    yield "]"


def _as_tuple(suite: Any) -> Term:
    parts = [suite.key_exchange, suite.cipher, suite.mac]
    if suite.prf != "default_prf":
        parts.append(suite.prf)
    return tuple(map(Atom, parts))


def _as_map(suite: Any) -> Term:
    return {
        Atom(key): Atom(getattr(suite, key)) for key in ("cipher", "key_exchange", "mac", "prf")
    }


_SUITES = {
    "openssl": lambda suite: Chars(suite.name),
    "erlang": _as_tuple,
    "map": _as_map,
}


class Certificates(Behaviour):
    """Certificates by listener."""

    def output(self, message: Any) -> Result:
        """An empty map where nothing has one."""
        return Value([] if self.invocation.is_json else {})


class CheckCertificateExpiration(Behaviour):
    """Whether a certificate expires soon."""

    def validate(self) -> None:
        """Four units exist."""
        super().validate()
        unit = self.invocation.request.unit
        if unit not in _UNITS:
            known = ", ".join(_UNITS)
            raise Invalid(f"\"unit '{unit}' is not supported. Please use one of: {known}\"")

    def output(self, message: Any) -> Result:
        """In the period that was asked for."""
        if self.invocation.is_json:
            return Value({"result": "ok"})
        request = self.invocation.request
        unit = request.unit[:-1] if request.within == 1 else request.unit
        return Value(f"No certificates are expiring within {request.within} {unit}.")


class DiscoverPeers(Behaviour):
    """Nodes that peer discovery finds."""

    def output(self, message: Any) -> Result:
        """A sentence when there are none."""
        if not message.nodes:
            return Value("No peers discovered")
        return Value([Atom(node) for node in message.nodes], wrapped=True)


class NetworkInterfaces(Behaviour):
    """Network interfaces of the node's machine."""

    def output(self, message: Any) -> Result:
        """A block per interface, newest facts first as 3.10.8 lists them."""
        if not self.invocation.is_json:
            found = message.interfaces
            return Value("\n".join(line for each in found for line in _interface_lines(each)))
        return Value(
            {
                "interfaces": {found.name: dict(_facts(found)) for found in message.interfaces},
                "message": f"Node {self.invocation.node} reported network interfaces",
                "result": "ok",
            }
        )


def _facts(found: Any) -> list[tuple[str, str]]:
    pairs = [("flags", ", ".join(found.flags))]
    for address in found.addresses:
        pairs += [("addr", address.address), ("netmask", address.netmask)]
        if address.broadcast:
            pairs.append(("broadaddr", address.broadcast))
    if found.hardware_address:
        pairs.append(("hwaddr", found.hardware_address))
    return pairs


def _interface_lines(found: Any) -> list[str]:
    from mqctl.help import bold

    facts = [f"{key}: {value}" for key, value in reversed(_facts(found))]
    return [bold(f"Interface {found.name}") + "\n", *facts, "\n"]


class LogTailStream(Behaviour):
    """The log as it is written."""

    def banner(self) -> str:
        """With the duration, when there is one."""
        duration = self.options.get("duration")
        head = f"Streaming logs from node {self.invocation.node}"
        return f"{head} ..." if duration is None else f"{head} for {duration:g} seconds ..."

    def rows(self, messages: Iterable[Any]) -> Result:
        """Each line at once."""
        if self.invocation.is_json:
            return Lines(line.text for batch in messages for line in batch.rows)
        for batch in messages:
            for line in batch.rows:
                self.say(line.text)
        return Silence()


class MaybeStuck(Behaviour):
    """Whether something holds up the node."""

    LATE_MS = 200

    def output(self, message: Any) -> Result:
        """In the words of 3.10.8's search, whose rounds have no counterpart here."""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        is_json = self.invocation.formatter in ("json", "json_stream")
        tell = self.warn if is_json else self.say  # 3.10.8 breaks the JSON
        tell(f"{now} There are {message.tasks} processes.")
        late = message.loop_delay_ms > self.LATE_MS
        tell(f"{now} Found {1 if late else 0} suspicious processes.")
        if late:
            delay = f"{message.loop_delay_ms:.0f} ms"
            tell(f"{now} the event loop of the node was {delay} late in half a second")
        return (
            Value({"result": "ok", "node": self.invocation.node})
            if self.invocation.is_json
            else Silence()
        )


class RuntimeThreadStats(Behaviour):
    """What threads did for a while."""

    def validate(self) -> None:
        """Time does not run backwards."""
        super().validate()
        if self.invocation.is_json:
            raise error("JSON formatter is not supported by this command")
        if self.invocation.request.sample_interval < 0:
            raise bad_argument("--sample-interval must not be negative")

    def output(self, message: Any) -> Result:
        """The layout of Erlang's microstate accounting, of which two columns mean something."""
        micros = message.elapsed_s * 1_000_000
        busy = [thread.busy for thread in message.threads]
        total = sum(busy) * micros
        heads = ("aux", "check_io", "emulator", "gc", "other", "port", "sleep")
        lines = [
            f"Average thread real-time    : {micros:7.0f} us",
            f"Accumulated system run-time : {total:7.0f} us",
            f"Average scheduler run-time  : {total / max(len(busy), 1):7.0f} us",
            "",
            "        Thread " + " ".join(f"{head:>8}" for head in heads),
            "",
            "Stats per thread:",
        ]
        for number, thread in enumerate(message.threads, 1):
            shares = (0.0, 0.0, thread.busy, 0.0, 0.0, 0.0, 1 - thread.busy)
            cells = " ".join(f"{share * 100:7.2f}%" for share in shares)
            lines.append(f"{thread.name[:10]:>10}({number:2}) {cells}")
        return Lines(lines)


class SourceTracking(Behaviour):
    """On or off, by the verb's name."""

    def validate(self) -> None:
        """The verb says which."""
        super().validate()
        self.invocation.request.enabled = self.verb.name.startswith("enable")


_ADVICE = {
    "remote_shell": "'mqctl eval' evaluates expressions on the node",
    "observer": "'mqctl status', 'mq-diagnostics memory_breakdown' and "
    "'mq-diagnostics runtime_thread_stats' show what it would",
}


class NoShell(Behaviour):
    """remote_shell and observer: windows into a virtual machine that there is none of."""

    def run(self) -> Result:
        """Say what there is instead."""
        raise error(
            f"mqd runs no Erlang virtual machine to look into; {_ADVICE[self.verb.name]}",
            exit_codes.UNAVAILABLE,
        )
