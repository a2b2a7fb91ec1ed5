"""Verbs that need no node."""

from __future__ import annotations

import os
from typing import Any

from mqctl import catalogue, exit_codes
from mqctl.behaviour import Behaviour
from mqctl.failures import Invalid, error
from mqctl.options import GLOBAL_SWITCHES
from mqctl.output.results import OK, Lines, Result, Rows, Silence, Value
from mqctl.output.terms import Atom

COMPATIBLE_VERSION = "3.10.8"  # what scripts that ask for a version compare with
COMPATIBLE_ERLANG = "25.2.3"  # the one that it runs on


class _Local(Behaviour):
    def answer(self) -> Result:
        """The verb itself."""
        raise NotImplementedError

    def run(self) -> Result:
        """No call."""
        return self.answer()


class Help(_Local):
    """Usage of the tool or of a verb."""

    def answer(self) -> Result:
        """A verb that does not exist is refused, with the nearest name."""
        from mqctl import help as texts

        name = self.invocation.request.command
        tool, scope = self.invocation.tool, self.invocation.scope
        if not name and not self.invocation.arguments:
            if self.invocation.request.list_commands:
                return Value(texts.commands(scope))
            return Value(texts.tool_usage(scope, tool))
        verb = catalogue.find(name, scope)
        if verb is not None:
            return Value(texts.verb_usage(verb, tool))
        from mqctl.suggest import suggest

        near = suggest(name, catalogue.names(scope))
        if near is None:
            raise error(f"\nCommand '{name}' not found.", exit_codes.USAGE)
        raise error(f"\nCommand '{name}' not found. \nDid you mean '{near}'? \n", exit_codes.USAGE)


class Autocomplete(_Local):
    """Completions of a word, one per line."""

    def answer(self) -> Result:
        """Names of verbs; options for no word at all (observed: 3.10.8)."""
        word = self.invocation.request.word
        names = catalogue.names(self.invocation.scope)
        if word in names:
            return OK
        if not word:
            names = ["--" + switch.replace("_", "-") for switch in GLOBAL_SWITCHES]
        return Lines(sorted(name for name in names if name.startswith(word)))


class Version(_Local):
    """The version this tool stands in for."""

    def answer(self) -> Result:
        """A row for csv, an object for json."""
        if self.invocation.is_json:
            return Value({"version": COMPATIBLE_VERSION}, wrapped=True)
        if self.options.get("formatter") == "csv":
            return Rows([[(Atom("version"), COMPATIBLE_VERSION)]])
        return Value(COMPATIBLE_VERSION)


class ListCiphers(_Local):
    """Ciphers by the names configuration files use."""

    NAMES = (
        "aes_256_cbc aes_192_cbc aes_128_cbc aes_256_ctr aes_192_ctr aes_128_ctr "
        "aes_256_cfb128 aes_192_cfb128 aes_128_cfb128 aes_256_cfb8 aes_192_cfb8 aes_128_cfb8 "
        "aes_256_ofb aes_192_ofb aes_128_ofb chacha20"
    )

    def answer(self) -> Result:
        """A list of atoms."""
        return Value([Atom(name) for name in self.NAMES.split()], wrapped=True)


class ListHashes(ListCiphers):
    """Hash functions, strongest first."""

    NAMES = (
        "blake2s blake2b sha3_512 sha3_384 sha3_256 sha3_224 sha512 sha384 sha256 sha224 sha "
        "ripemd160 md5 md4"
    )


class CookieSources(_Local):
    """Where the cookie of this call comes from; never the cookie."""

    def answer(self) -> Result:
        """An object, or lines under headings."""
        found = self._facts()
        if self.invocation.is_json:
            return Value(found)
        return Value(_cookie_lines(found))

    def _facts(self) -> dict[str, Any]:
        home = os.environ.get("HOME") or os.path.expanduser("~")
        path = os.path.join(home, ".erlang.cookie")
        exists = os.path.exists(path)
        option = self.options.get("erlang_cookie")
        variable = os.environ.get("RABBITMQ_ERLANG_COOKIE")
        access = {(True, True): "read_write", (True, False): "read", (False, True): "write"}
        may = (os.access(path, os.R_OK), os.access(path, os.W_OK))
        return {
            "os_env_cookie_set": variable is not None,
            "os_env_cookie_value_length": len(variable or ""),
            "switch_cookie_set": option is not None,
            "switch_cookie_value_length": len(str(option or "")),
            "effective_user": os.environ.get("USER"),
            "home_dir": home,
            "cookie_file_path": path,
            "cookie_file_exists": exists,
            "cookie_file_type": "regular" if os.path.isfile(path) else None,
            "cookie_file_access": access.get(may, "none") if exists else None,
            "cookie_file_size": os.path.getsize(path) if exists else None,
        }


def _cookie_lines(found: dict[str, Any]) -> list[str]:
    from mqctl.help import bold

    def flag(key: str) -> str:
        return "true" if found[key] else "false"

    return [
        f"{bold('Cookie File')}\n",
        f"Effective user: {found['effective_user'] or '(none)'}",
        f"Effective home directory: {found['home_dir'] or '(none)'}",
        f"Cookie file path: {found['cookie_file_path']}",
        f"Cookie file exists? {flag('cookie_file_exists')}",
        f"Cookie file type: {found['cookie_file_type'] or '(n/a)'}",
        f"Cookie file access: {found['cookie_file_access'] or '(n/a)'}",
        f"Cookie file size: {found['cookie_file_size'] or '(n/a)'}",
        f"\n{bold('Cookie CLI Switch')}\n",
        f"--erlang-cookie value set? {flag('switch_cookie_set')}",
        f"--erlang-cookie value length: {found['switch_cookie_value_length']}",
        f"\n{bold('Env variable ')} \x1b[1m\x1b[31m(Deprecated)\x1b[0m\n",
        f"RABBITMQ_ERLANG_COOKIE value set? {flag('os_env_cookie_set')}",
        f"RABBITMQ_ERLANG_COOKIE value length: {found['os_env_cookie_value_length']}",
    ]


class ResolverInfo(_Local):
    """How host names are resolved: by the machine's own resolver, always."""

    def banner(self) -> str:
        """The node's resolver and the tool's are the same library."""
        if self.invocation.request.offline:
            return (
                "Displaying effective hostname resolver (inetrc) configuration used by CLI tools..."
            )
        return (
            f"Asking node {self.invocation.node} for its effective hostname resolver (inetrc) "
            "configuration..."
        )

    def run(self) -> Result:
        """A node that does not answer has none."""
        if not self.invocation.request.offline:
            from mqd.rpc.v1 import nodes_pb2

            self.client.call(
                "/mqd.rpc.v1.Nodes/Probe", nodes_pb2.ProbeRequest(), nodes_pb2.ProbeReply
            ).one()
        return super().run()

    def answer(self) -> Result:
        """In RabbitMQ's shape; there is no inetrc."""
        facts = {
            "hosts_file": "/etc/hosts",
            "lookup": "native",
            "resolv_conf": "/etc/resolv.conf",
        }
        if self.invocation.is_json:
            return Value({"node": self.invocation.node, "resolver": facts, "result": "ok"})
        from mqctl.help import bold

        lines = [
            bold("Runtime Hostname Resolver (inetrc) Settings") + "\n",
            f"Lookup order: {facts['lookup']}",
            f"Hosts file: {facts['hosts_file']}",
            f"Resolver conf file: {facts['resolv_conf']}",
            "Cache size: \n",
            bold("inetrc File Host Entries") + "\n",
            "(none)",
        ]
        return Value("\n".join(lines))


class HashPassword(_Local):
    """A salted hash, as definitions carry it."""

    def validate(self) -> None:
        """Only these algorithms."""
        super().validate()
        if self._digest() is None:
            algorithm = self.invocation.request.hashing_algorithm
            raise Invalid(f"\"algorithm '{algorithm}' is not supported: use sha256 or sha512.\"")

    def _digest(self) -> str | None:
        name = str(self.invocation.request.hashing_algorithm).lower()
        name = name.removeprefix("rabbit_password_hashing_")
        return name if name in ("sha256", "sha512") else None

    def banner(self) -> str:
        """A password from standard input is not shown."""
        if self.missing_password() is not None:
            return "Will hash provided password"
        return self.invocation.fill(self.verb.spec.banner)

    def answer(self) -> Result:
        """Salt and digest, in Base64."""
        import base64
        import hashlib

        salt = os.urandom(4)
        password = self.invocation.request.cleartext_password.encode()
        digest = hashlib.new(self._digest() or "", salt + password).digest()
        return Value(base64.b64encode(salt + digest).decode())


class RotateLogs(Behaviour):
    """Gone since logs rotate by themselves; old scripts get to know it."""

    def execute(self) -> Result:
        """The node's state is checked first, as in 3.10.8."""
        self.probe()
        if self.options.get("dry_run"):
            return Silence()
        raise error("This command does not rotate logs anymore [deprecated]")
