"""TLS 1.3 over bytes that somebody else reads and writes.

Decides nothing. Why not asyncio's own: its transport does not tell how much waits in the socket
below it, lingers for seconds on a peer that does not read, and costs two more calls a read.
"""

from __future__ import annotations

import ssl

from mqd.cluster.identity import node_of

_READ_BYTES = 262_144


class Tls:
    """One connection. hostname: who must answer, as the certificate names it; None: we accept."""

    def __init__(self, context: ssl.SSLContext, hostname: str | None) -> None:
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_3
        assert context.verify_mode == ssl.CERT_REQUIRED
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._in, self._out, server_side=hostname is None, server_hostname=hostname
        )
        self.is_open = False

    @property
    def certified(self) -> str | None:
        """The node that the other side's certificate names."""
        return node_of(self._object)

    def start(self) -> None:
        """Have the first words ready."""
        self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """What it says in plain, as far as it is there. Raises ssl.SSLError; an alert for the
        other side may be ready then."""
        self._in.write(data)
        if not self.is_open and not self._shake_hands():
            return b""
        read, found = self._object.read, []
        try:
            while piece := read(_READ_BYTES):  # a record at most, whatever is asked for
                found.append(piece)
        except ssl.SSLWantReadError:
            pass
        return found[0] if len(found) == 1 else b"".join(found)

    def seal(self, data: bytes) -> bytes:
        """What to write so that the other side gets this."""
        count = self._object.write(data)
        while count < len(data):
            data = data[count:]
            count = self._object.write(data)
        return self._out.read()

    def take(self) -> bytes:
        """What TLS itself wants to be written."""
        return self._out.read() if self._out.pending else b""

    def _shake_hands(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.is_open = True
        return True
