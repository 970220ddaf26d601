"""TLS on the event channel: a certificate for one run, the only one that its workers trust."""

from __future__ import annotations

import datetime as dt
import secrets
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from nbkeras.errors import ClusterError


@dataclass(frozen=True)
class Certificate:
    """What one run's notebook shows to its workers.

    Attributes:
        pem: the certificate, for everyone.
        key: its private key as PEM, encrypted with the password.
        password: of the key.
    """

    pem: str
    key: bytes = field(repr=False)
    password: bytes = field(repr=False)


def certificate(setting: str) -> Certificate:
    """A new self-signed certificate.

    Args:
        setting: the setting of Spark that asks for it, for the error.

    Raises:
        ClusterError: the package that makes certificates is not installed.

    Example:
        >>> from nbkeras.transport import tls
        >>> tls.certificate("spark.ssl.enabled").pem.splitlines()[0]
        '-----BEGIN CERTIFICATE-----'
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise ClusterError(
            f"{setting} is true, and the notebook's Python has no cryptography to make a certificate with: "
            "pip install 'nbkeras[tls]' there"
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nbkeras")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks differ between machines, and a training may take long; the key dies with the run.
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    password = secrets.token_bytes(32).hex().encode()
    return Certificate(
        made.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        ),
        password,
    )


def notebook(own: Certificate) -> ssl.SSLContext:
    """The notebook's end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # no session is ever taken up again
    # Python reads a key from a file only.
    with tempfile.TemporaryDirectory(prefix="nbkeras-") as folder:
        path = Path(folder) / "certificate.pem"
        path.write_bytes(own.pem.encode() + own.key)
        context.load_cert_chain(path, password=own.password)
    return context


def worker(pem: str) -> ssl.SSLContext:
    """A worker's end, which trusts this certificate and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate is known, wherever it is
    context.load_verify_locations(cadata=pem)
    return context
