"""How the members of a cluster know each other on the wire: certificates out of the cookie.

Decides the keys and certificates of one generation of a cluster, and the TLS that is spoken with
them: 1.3 only, both sides show one. Never decides who is a member, and never asks anybody: all
that a node needs is the cookie, the cluster's id and its generation.

The scheme, version 1. HMAC-SHA512(cookie, "mqd-cluster-1" | purpose | cluster id | generation
[| fork]) with purpose "authority" is, reduced to the range of the curve, the key of a certificate
authority on P-256. Each member derives the same key, writes a certificate for it (same key and
name, so all accept what any of them issued) and issues one for itself under a key of its own, which
is another one after each start. So another cookie, another cluster or another generation is another
authority: its certificates are refused on both sides before a byte of ours is read. Whoever has the
cookie can call itself any member; the cookie is the boundary, as in Erlang.

Certificates name the member twice: by the addresses it is reached at, which is what the engine's
routes look at, and by `name_of(node)`, made of the node's name alone, which a link gives as
`server_hostname`, so that it reaches the node that it means or none.

    identity = issue(folder, cookie, cluster.id, cluster.generation, "rabbit@a", ["a", "10.0.0.1"])
    await loop.create_server(..., ssl=identity.server_context())
    await loop.create_connection(..., ssl=identity.client_context(), server_hostname=name_of(peer))
    peer = node_of(transport.get_extra_info("ssl_object"))

In TLS 1.3 a client takes the connection for made before the server has looked at its certificate:
a refusal is what its first read meets.
"""

from __future__ import annotations

import datetime
import hmac
import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mqd.storage import durable

_LABEL: Final = b"mqd-cluster-1"
# SEC 2 §2.4.2: the number of points of P-256.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Fixed, so that no clock matters; the end is RFC 5280's for "no end" (§4.1.2.5).
_FROM: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_URI: Final = "mqd:"  # of a node's name in a certificate


@dataclass(frozen=True, slots=True)
class Identity:
    """One node's files, all PEM and readable by its user alone."""

    authority: Path
    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """For whoever accepts: the other side must show a certificate of this cluster."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0  # nothing is resumed: each connection shows its certificate
        return context

    def client_context(self) -> ssl.SSLContext:
        """For whoever connects; `server_hostname` says who must answer."""
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = True
        return context

    def _context(self, protocol: ssl._SSLMethod) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.authority)
        context.load_cert_chain(self.certificate, self.key)
        return context


def issue(
    folder: Path,
    cookie: str,
    cluster_id: str,
    generation: int,
    node: str,
    addresses: Iterable[str],
    fork: str = "",
    *,
    keeps_key: bool = False,
) -> Identity:
    """Write this node's files for a generation, over older ones.

    addresses: names and IP addresses it is reached at. fork: see `mqd.metadata.generations`; two
    generations of one number know each other no more than any two. Contexts that were made before
    go on with what they have read. keeps_key: for older files that are in use: who reads them while
    they are written never finds a certificate beside a key that is not its own.
    """
    authority_key = _authority_key(cookie, cluster_id, generation, fork)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = Identity(folder / "authority.pem", folder / "node.pem", folder / "node.key")
    key = _key_in(identity.key) if keeps_key else None
    is_new = key is None
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"mqd {cluster_id} {generation}")
    authority = _certificate(subject, authority_key, subject, authority_key, None)
    names = _names(node, addresses)
    leaf = _certificate(_name("mqd member"), key, subject, authority_key, names)
    pem = serialization.Encoding.PEM
    durable.replace(identity.authority, authority.public_bytes(pem))
    durable.replace(identity.certificate, leaf.public_bytes(pem))
    if is_new:
        plain = serialization.NoEncryption()
        key_pem = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        durable.replace(identity.key, key_pem)
    return identity


def secret(cookie: str, cluster_id: str, generation: int, purpose: str, fork: str = "") -> bytes:
    """64 bytes that members of this generation share and nobody else can know. fork "": a
    generation that has none, the first one for instance."""
    fields = [_LABEL, purpose.encode(), cluster_id.encode(), b"%d" % generation]
    if fork:
        fields.append(fork.encode())
    joined = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return hmac.digest(cookie.encode(), joined, "sha512")


def name_of(node: str) -> str:
    """What a link gives as server_hostname: a name of fixed length for any node name."""
    return f"n{sha256(node.encode()).hexdigest()[:40]}.mqd.invalid"


def node_of(connection: ssl.SSLObject | ssl.SSLSocket) -> str | None:
    """The node that the other side's certificate names."""
    certificate = connection.getpeercert() or {}
    for name in certificate.get("subjectAltName", ()):
        kind, value = name[0], str(name[1])
        if kind == "URI" and value.startswith(_URI):
            return unquote(value.removeprefix(_URI))
    return None


def _key_in(path: Path) -> ec.EllipticCurvePrivateKey | None:
    """None: there is none that can be used."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _authority_key(
    cookie: str, cluster_id: str, generation: int, fork: str
) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(secret(cookie, cluster_id, generation, "authority", fork), "big")
    # 512 bits over a range of 256: what the reduction favours is beyond notice.
    return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])  # X.520's bound


def _names(node: str, addresses: Iterable[str]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [
        x509.DNSName(name_of(node)),
        x509.UniformResourceIdentifier(_URI + quote(node)),
    ]
    for address in dict.fromkeys(addresses):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            names.append(x509.DNSName(address.encode("idna").decode()))
    return x509.SubjectAlternativeName(names)


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: x509.SubjectAlternativeName | None,
) -> x509.Certificate:
    """names None: an authority's own."""
    is_authority = names is None
    public = key.public_key()
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        .add_extension(identifier, False)
    )
    if names is not None:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(names, False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), False)
    return builder.sign(issuer_key, hashes.SHA256())
