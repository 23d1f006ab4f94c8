"""The deployment's own certificate authority, and the server's certificate from it.

Sites trust this authority and no other, so a certificate of a public authority for the same name is
worth nothing here. Keys are of curve P-384. Not for a public web server.

Source: RFC 5280 (profile of certificates), RFC 6125 (names are in subjectAltName alone).
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
SERVER_DAYS = 398
"""Most that TLS clients in general take for a server (CA/Browser Forum, Ballot SC31)."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of every server: Flower's own processes on its machine reach it so."""

_BACKDATED = timedelta(minutes=10)
"""A site's clock may be behind."""


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate with the private key that belongs to it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as a file holds it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as a file holds it, not encrypted: the file's mode guards it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def make_authority(now: datetime, days: int = AUTHORITY_DAYS) -> Certified:
    """Return a new authority of a deployment, valid from now on."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedcxr deployment authority")])
    builder = _begun(name, name, key.public_key(), now, now + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return Certified(builder.sign(key, hashes.SHA384()), key)


def certify_server(
    authority: Certified,
    host: str,
    now: datetime,
    *,
    days: int = SERVER_DAYS,
    also: tuple[str, ...] = LOOPBACK,
) -> Certified:
    """Return a certificate for `host` and the loopback names, with a new key.

    Args:
        authority: signs it; it ends no later than the authority's own.
        host: a DNS name or an IP address, as the sites write it.
        now: it is valid from here on.
        days: for how long.
        also: further names.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    end = min(now + timedelta(days=days), authority.certificate.not_valid_after_utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedcxr server")])
    builder = _begun(subject, authority.certificate.subject, key.public_key(), now, end)
    names = [_general_name(name) for name in dict.fromkeys((host, *also))]
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(purpose, critical=False)
    builder = builder.add_extension(authority_key, critical=False)
    return Certified(builder.sign(authority.key, hashes.SHA384()), key)


def read_certified(certificate_pem: bytes, key_pem: bytes) -> Certified:
    """Return a certificate and its key from the bytes of their files.

    Raises:
        ValueError: one of them is none, the key is of another kind or encrypted, or the two do not
            belong together.
    """
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except TypeError as err:
        raise ValueError("the key is encrypted") from err
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not one of an elliptic curve")
    if key.public_key() != certificate.public_key():
        raise ValueError("the key is not that of the certificate")
    return Certified(certificate, key)


def faults_in_time(certificate: x509.Certificate, now: datetime) -> list[str]:
    """Return why a certificate is not valid at this time; empty if it is."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        return [f"expired on {_date(end)} ({validity(certificate)})"]
    if now < begin:
        return [f"not valid before {_date(begin)}; this machine's clock says {_date(now)}"]
    return []


def validity(certificate: x509.Certificate) -> str:
    """Return from when to when a certificate is valid, in words."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return f"valid {_date(begin)} to {_date(end)}"


def faults_of_server(
    certificate: x509.Certificate, authority: x509.Certificate, host: str, now: datetime
) -> list[str]:
    """Return why sites would not take a server's certificate; empty if they would.

    Args:
        certificate: the server's.
        authority: the one that the sites trust.
        host: the name that the sites use.
        now: the time of asking.
    """
    faults = faults_in_time(certificate, now)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        faults.append("not signed by the deployment's authority (ca.crt)")
    names = names_of(certificate)
    if host not in names:
        faults.append(f"made for {', '.join(names) or 'no name'}, not for {host}")
    return faults


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names and IP addresses that a certificate is made for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = found.get_values_for_type(x509.IPAddress)
    return [*found.get_values_for_type(x509.DNSName), *map(str, addresses)]


def utc_now() -> datetime:
    """Return the time as certificates hold it."""
    return datetime.now(UTC)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    """Return a certificate without what sets an authority and a server apart."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
