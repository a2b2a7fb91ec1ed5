"""Small reports on a node: versions, log files, environment, host names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import Refused
from mqctl.failures import Failure, Invalid, bad_argument
from mqctl.output.results import Lines, Result, Rows, Silence, Value
from mqctl.output.terms import Atom, Chars, from_term


class NamedValue(Behaviour):
    """One text; json gives it with a result."""

    def output(self, message: Any) -> Result:
        """Observed: 3.10.8 leaves the node out here."""
        text = self.done_text(self.verb.spec.done, message)
        if self.invocation.is_json:
            return Value({"result": "ok", "value": text})
        return Value(text)


class ErlangVersion(NamedValue):
    """Of the node, or of this tool."""

    def banner(self) -> str | None:
        """Whose it is."""
        offline = self.invocation.request.offline
        return "CLI Erlang/OTP version ..." if offline else super().banner()

    def run(self) -> Result:
        """No node is asked for the tool's own."""
        request = self.invocation.request
        if not request.offline:
            return super().run()
        import platform

        from mqctl.verbs.local import COMPATIBLE_ERLANG

        runtime = f"{platform.python_implementation()} {platform.python_version()}"
        full = f"{COMPATIBLE_ERLANG.partition('.')[0]} [{runtime}]"
        version = full if request.details else COMPATIBLE_ERLANG
        return self.output(self.verb.reply_class(version=f"Erlang/OTP {version}"))


class LogLocation(Behaviour):
    """Where the node logs to."""

    def output(self, message: Any) -> Result:
        """One path per line."""
        if not message.paths:
            return Silence()
        if self.invocation.is_json:
            paths = list(message.paths)
            return Value({"result": "ok", "node_name": self.invocation.node, "paths": paths})
        paths = list(message.paths)
        return Value(paths, wrapped=True) if self.invocation.request.all else Value(paths[0])


class LogTail(Behaviour):
    """The end of the log."""

    def output(self, message: Any) -> Result:
        """Lines as they stand in the file."""
        return Lines(message.lines)


class OsEnv(Behaviour):
    """Environment variables the node sees."""

    def output(self, message: Any) -> Result:
        """name=value, or rows and objects."""
        node = self.invocation.node
        pairs = {variable.name: variable.value for variable in message.variables}
        if self.invocation.is_json:
            variables: object = pairs or []
            return Value({"result": "ok", "node": node, "variables": variables})
        if self.options.get("formatter") == "csv":
            return Rows([[(Atom("variable"), k), (Atom("value"), v)] for k, v in pairs.items()])
        if not pairs:
            return Value(f"Node {node} reported no relevant environment variables.")
        return Value("\n".join(f"{name}={value}" for name, value in pairs.items()))


class CommandLineArguments(Behaviour):
    """How the node was started."""

    def check_formatter(self) -> None:
        """Not as json (observed: 3.10.8)."""
        if self.invocation.is_json:
            raise Invalid("the requested formatter is not supported by this command")

    def output(self, message: Any) -> Result:
        """Words as strings."""
        return Value([Chars(word) for word in message.arguments])


class Environment(Behaviour):
    """Settings in effect."""

    def output(self, message: Any) -> Result:
        """Applications with their settings."""
        return Value(from_term(message.applications))


class ResolveHostname(Behaviour):
    """A name as the node resolves it."""

    def validate(self) -> None:
        """Only two kinds of address exist."""
        super().validate()
        family = self.invocation.request.address_family
        if family not in ("inet", "inet4", "inet6", "ipv4", "ipv6", "IPv4", "IPv6"):
            raise bad_argument(
                f"unsupported IP address family {family}. Valid values are: ipv4, ipv6"
            )

    def banner(self) -> str:
        """The family as it was typed."""
        request = self.invocation.request
        if request.offline:
            return f"Resolving hostname {request.hostname} to {request.address_family} addresses..."
        return self.invocation.fill(self.verb.spec.banner, {"family": request.address_family})

    def run(self) -> Result:
        """As the node does, or as this tool does."""
        return self._resolved() if self.invocation.request.offline else super().run()

    def _resolved(self) -> Result:
        import socket

        request = self.invocation.request
        six = request.address_family.lower() in ("inet6", "ipv6")
        family = socket.AF_INET6 if six else socket.AF_INET
        try:
            found = socket.getaddrinfo(request.hostname, None, family)
        except (OSError, UnicodeError):
            raise Refused("NOT_FOUND", "") from None
        addresses = dict.fromkeys(str(address[4][0]) for address in found)
        return self.output(self.verb.reply_class(addresses=addresses))

    def output(self, message: Any) -> Result:
        """One address per line."""
        request = self.invocation.request
        if self.invocation.is_json:
            return Value(
                {
                    "result": "ok",
                    "node": self.invocation.node,
                    "hostname": request.hostname,
                    "address_family": request.address_family,
                    "addresses": list(message.addresses),
                }
            )
        return Value("\n".join(message.addresses))

    def explain(self, refused: Refused) -> Exception:
        """json has the failure as an object."""
        if refused.code == "NOT_FOUND" and self.invocation.is_json:
            from mqctl.output.json import encode

            text = "Hostname does not resolve (resolution failed with an nxdomain)"
            report = {"result": "error", "node": self.invocation.node, "message": text}
            return Failure(exit_codes.DATA, encode(report))
        return super().explain(refused)


class TlsVersions(Behaviour):
    """TLS versions of the node's runtime."""

    def output(self, message: Any) -> Result:
        """A list of names."""
        versions = [Atom(version) for version in message.versions]
        return Value({"versions": versions}) if self.invocation.is_json else Value(versions)


class AuthAttempts(Behaviour):
    """Counters of authentication attempts."""

    def check_columns(self) -> None:
        """Which columns there are depends on --by-source."""
        keys = self.verb.default_columns
        self.invocation.columns = keys if self.options.get("by_source") else keys[2:]

    def rows(self, messages: Iterable[Any]) -> Result:
        """A sentence when there are none."""
        listing = super().rows(messages)
        assert isinstance(listing, Rows)
        rows = list(listing.rows)
        node = self.invocation.node
        if self.invocation.is_json:
            attempts = [{str(key): value for key, value in row} for row in rows]
            return Value({"result": "ok", "node": node, "attempts": attempts})
        if not rows:
            return Value(f"Node {node} reported no authentication attempt stats")
        return Rows(rows)
