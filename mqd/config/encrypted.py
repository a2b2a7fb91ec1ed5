"""config_entry_decoder: the passphrase of encrypted values.

Decides where the passphrase comes from and with which functions a value is opened; `pbe` opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mqd.config import pbe
from mqd.config.erlang import Atom, Chars, Plain, Term


@dataclass(frozen=True, slots=True)
class Decoder:
    """Opens values. Where no function is named, those of 3.10.8's tools and, failing them, the
    ones that its documentation names are tried."""

    passphrase: str
    schemes: tuple[tuple[str, str, int], ...]

    def term(self, text: str) -> Plain:
        """Of base64 text. Raises ValueError."""
        for scheme in self.schemes[:-1]:
            try:
                return pbe.decrypt_term(text, self.passphrase, *scheme)
            except pbe.PbeError:
                continue
        return pbe.decrypt_term(text, self.passphrase, *self.schemes[-1])

    def text(self, text: str) -> str:
        """The same where a text is expected. Raises ValueError."""
        found = self.term(text)
        if isinstance(found, bytes):
            return found.decode()
        if isinstance(found, Atom | Chars):
            return str(found)
        raise ValueError("it holds no text")


def decoder(passphrase: str, cipher: str = "", digest: str = "", iterations: int = 0) -> Decoder:
    """Raises ValueError for functions that do not exist."""
    if cipher and cipher not in pbe.CIPHERS:
        raise ValueError(f"no such cipher: {cipher}")
    if digest and digest not in pbe.HASHES:
        raise ValueError(f"no such hash: {digest}")
    schemes = tuple(
        (cipher or c, digest or d, iterations or i) for c, d, i in (pbe.DEFAULTS, pbe.OLD_DEFAULTS)
    )
    return Decoder(passphrase, tuple(dict.fromkeys(schemes)))


def decoder_of(term: Term) -> Decoder | None:
    """Of {config_entry_decoder,[{passphrase,...},...]}; None without a passphrase. Raises
    ValueError."""
    given = {}
    for item in term.value if term.kind == "list" else ():
        if item.pair is not None:
            given[str(item.pair[0].value)] = item.pair[1].plain()
    phrase = given.get("passphrase")
    if phrase is None or phrase == "undefined":
        return None
    iterations = given.get("iterations", 0)
    return decoder(
        passphrase_of(phrase),
        str(given.get("cipher", "")),
        str(given.get("hash", "")),
        iterations if isinstance(iterations, int) else 0,
    )


def passphrase_of(value: Plain) -> str:
    """A text, or {file,"path"}. Raises ValueError."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] == "file":
        return passphrase_in(str(value[1]))
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str) and value != "prompt":
        return str(value)
    raise ValueError('passphrase: write <<"text">> or {file,"path"}')


def passphrase_in(path: str) -> str:
    """The file without its line end. Raises ValueError."""
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"passphrase: {path} cannot be read: {error.strerror}") from error
