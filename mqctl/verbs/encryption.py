"""encode, decode and their 4.x relatives for rabbitmq.conf: values that only the node can read."""

from __future__ import annotations

import sys
from typing import Any

from mqctl.behaviour import Behaviour
from mqctl.failures import Failure, Invalid, bad_argument, error
from mqctl.output.results import OK, Result, Value
from mqctl.output.terms import Atom, Chars, Octets, Term

_FAILED = "Error during cipher operation"
_NOT_DECRYPTED = (
    "Failed to decrypt the value. Things to check: is the passphrase correct? "
    "Are the cipher and hash algorithms the same as those used for encryption?"
)


class Encode(Behaviour):
    """Encrypts an Erlang term."""

    no_cipher = "The requested cipher is not supported."
    no_iterations = "The requested number of iterations is incorrect"

    def validate(self) -> None:
        """Observed: 3.10.8 looks at the number of arguments first, then at the switches."""
        super().validate()
        from mqd.config import pbe

        cipher = self.options.get("cipher") or pbe.CIPHER
        digest = self.options.get("hash") or pbe.HASH
        iterations = self.options.get("iterations", pbe.ITERATIONS)
        if cipher not in pbe.CIPHERS:
            raise bad_argument(self.no_cipher)
        if digest not in pbe.HASHES:
            raise bad_argument("The requested hash is not supported")
        if not isinstance(iterations, int) or iterations < 1:
            raise bad_argument(self.no_iterations)
        self.scheme = (str(cipher), str(digest), iterations)

    def execute(self) -> Result:
        """Missing words are asked for, value first."""
        self.print_banner()
        if self.options.get("dry_run"):
            return OK
        words = list(self.invocation.arguments)
        words += map(self._ask, ("Value to encode: ", "Passphrase: ")[len(words) :])
        return self.work(*words)

    def _ask(self, question: str) -> str:
        if not self.invocation.is_quiet:
            self.say(question)
        if sys.stdin.isatty():
            import getpass

            line = getpass.getpass("") + "\n"
        else:
            line = sys.stdin.readline()
        if not line:
            raise error("not_enough_args")
        return line.rstrip("\n")

    def work(self, value: str, passphrase: str) -> Result:
        """The verb itself."""
        from mqd.config import erlang
        from mqd.config.parse import ConfigError

        try:
            term = erlang.parse(value, stop=False).plain()
        except ConfigError as problem:
            raise self.failed() from problem
        return Value((Atom("encrypted"), self.encrypted(term, passphrase)), wrapped=True)

    def encrypted(self, term: Any, passphrase: str) -> str:
        """Base64 text."""
        from mqd.config import pbe

        try:
            return pbe.encrypt_term(term, passphrase, *self.scheme)
        except ValueError as problem:
            raise self.failed() from problem

    def failed(self) -> Failure:
        """In 3.10.8's words."""
        return error(_FAILED)


class Decode(Encode):
    """Decrypts {encrypted,<<"...">>}, or its text alone."""

    no_cipher = "The requested cipher is not supported"
    no_iterations = "The requested number of iterations is incorrect (must be a positive integer)"

    def check_arity(self) -> None:
        """Observed: 3.10.8 asks for a passphrase and for nothing else."""
        if not self.invocation.arguments:
            raise Invalid("not enough arguments: Please provide a value to decode and a passphrase")
        super().check_arity()

    def work(self, value: str, passphrase: str) -> Result:
        """The verb itself."""
        from mqd.config import erlang
        from mqd.config.parse import ConfigError

        try:
            found = erlang.parse(value, stop=False).plain()
        except ConfigError as problem:
            raise self.failed() from problem
        if isinstance(found, tuple) and len(found) == 2 and found[0] == "encrypted":
            found = found[1]
        if not isinstance(found, bytes):
            raise self.failed()
        return Value(as_printed(self.decrypted(found.decode("latin-1"), passphrase)), wrapped=True)

    def decrypted(self, text: str, passphrase: str) -> Any:
        """The term; without switches, also one of the older defaults."""
        from mqd.config import pbe

        schemes = [self.scheme]
        if self.scheme == pbe.DEFAULTS:
            schemes.append(pbe.OLD_DEFAULTS)
        for scheme in schemes:
            try:
                return pbe.decrypt_term(text, passphrase, *scheme)
            except pbe.PbeError:
                continue
        raise self.failed()

    def failed(self) -> Failure:
        """In 3.10.8's words."""
        return error(_NOT_DECRYPTED)


class EncryptConfValue(Encode):
    """Encrypts a text for rabbitmq.conf."""

    def work(self, value: str, passphrase: str) -> Result:
        """The verb itself."""
        data = value.encode("utf-8", "surrogateescape")
        return Value(f"encrypted:{self.encrypted(data, passphrase)}")


class DecryptConfValue(Decode):
    """Decrypts encrypted:..., with or without that word."""

    def work(self, value: str, passphrase: str) -> Result:
        """The verb itself."""
        text = value.removeprefix("encrypted:")
        return Value(as_printed(self.decrypted(text, passphrase)), wrapped=True)


def as_printed(value: Any) -> Term:
    """A term of the configuration as the formatters take it."""
    from mqctl.output.erlang import is_printable
    from mqd.config import erlang

    if isinstance(value, erlang.Atom):
        return value == "true" if value in ("true", "false") else Atom(value)
    if isinstance(value, erlang.Chars):  # what is no text stays a list of numbers
        return Chars(value) if is_printable(map(ord, value)) else list(map(ord, value))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return Octets(value.decode("latin-1"))
    if isinstance(value, list):
        return [as_printed(item) for item in value]
    if isinstance(value, tuple):
        return tuple(map(as_printed, value))
    if isinstance(value, dict):
        return {as_printed(key): as_printed(item) for key, item in value.items()}
    return value
