"""A key that stays in AWS KMS: the service is asked to sign, over the network."""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

from alikassa.errors import CertificateError, ConfigurationError, ProtocolError
from alikassa.keys.extras import extra
from alikassa.keys.frames import drop_frames
from alikassa.keys.processes import PerProcess
from alikassa.protocol.signatures import Digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from alikassa.errors import AlikassaError

__all__ = ["KmsSigner"]

_KEY = re.compile(r"[A-Za-z0-9:/_.-]{1,2048}", re.ASCII)
_ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:(?:key|alias)/.+", re.ASCII)
_ALGORITHM = "RSASSA_PKCS1_V1_5_SHA_256"

# For one try, in seconds. There are two. A client's call may end sooner; what comes later serves its next one.
_CONNECT, _READ = 3.0, 5.0
_TRIES = 2


class KmsSigner:
    """A signer whose private key is in AWS KMS. Threads may share it, and a forked child connects anew.

    `key` is the key's id, its ARN, or alias/NAME. Region, credentials and endpoint are found as AWS's own tools find
    them. KMS is asked when something is to be signed: then ConfigurationError (credentials, region, permission),
    CertificateError (no such key, disabled, of another kind) or NetworkError (KMS does not answer; may be tried again).
    """

    #: It asks over the network.
    blocks = True

    def __init__(self, key: str, digest: Digest = Digest.SHA256) -> None:
        if _KEY.fullmatch(key) is None:
            raise ConfigurationError(
                "What follows aws-kms: is no key of KMS.",
                remedy="Name it by its id, its ARN or its alias: aws-kms:alias/alikassa-payout",
            )
        if digest is not Digest.SHA256:
            raise ConfigurationError(
                "AWS KMS makes no SHA-1 signatures.",
                remedy="Use digest sha256, or keep the key elsewhere if the server wants SHA-1.",
            )
        with extra("kms", "boto3", "A key in AWS KMS"):
            import boto3  # noqa: F401 - told now, not at the first signature
        self.digest = digest
        self._key = key
        self._connections: PerProcess[_Connection] = PerProcess(lambda: _Connection(key))

    def sign(self, data: bytes, /) -> bytes:
        return bytes(self._ask("sign", "Signature", Message=data, MessageType="RAW", SigningAlgorithm=_ALGORITHM))

    def with_digest(self, digest: Digest, /) -> KmsSigner:
        """Itself; ConfigurationError for SHA-1, which KMS does not make."""
        return self if digest is self.digest else KmsSigner(self._key, digest)

    def public_key(self) -> RSAPublicKey:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        found = load_der_public_key(self._ask("get_public_key", "PublicKey"))
        if not isinstance(found, RSAPublicKey):
            raise CertificateError(
                f"The key {self._key} in AWS KMS is no RSA key.", remedy="Make one of the kind RSA_2048, SIGN_VERIFY."
            )
        return found

    def _ask(self, operation: str, wanted: str, **parameters: object) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        from alikassa.keys.kms_failures import translated

        try:
            return getattr(self._connections.get().client(), operation)(KeyId=self._key, **parameters)[wanted]
        except KeyError:
            problem: AlikassaError = ProtocolError(
                f"AWS KMS answers without {wanted}.", remedy="Check AWS_ENDPOINT_URL: is it KMS that answers there?"
            )
        except (BotoCoreError, ClientError, ValueError) as error:
            # The frames of AWS's library hold the caller's credentials.
            drop_frames(error)
            problem = translated(error, self._key)
            problem.__cause__ = error
        raise problem

    def __repr__(self) -> str:
        return f"<KmsSigner {self._key} {self.digest}>"


class _Connection:
    """A process's client of KMS, made when it is first needed: that takes a moment, and reads AWS's settings."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._client: Any = None

    def client(self) -> Any:
        """Threads may share a client, but not make one at the same time."""
        with self._lock:
            if self._client is None:
                self._client = _connect(self._key)
            return self._client


def _connect(key: str) -> Any:
    import boto3
    from botocore.config import Config

    from alikassa.keys.kms_log import keep_signatures_out

    keep_signatures_out()
    arn = _ARN.fullmatch(key)
    client = boto3.session.Session().client(
        "kms",
        # Python's library of AWS knows AWS_DEFAULT_REGION only; AWS's other tools take AWS_REGION, and before it.
        region_name=arn[1] if arn else os.environ.get("AWS_REGION") or None,
        config=Config(
            connect_timeout=_CONNECT,
            read_timeout=_READ,
            retries={"total_max_attempts": _TRIES, "mode": "standard"},
            user_agent_extra="alikassa",
        ),
    )
    _check_endpoint(client.meta.endpoint_url)
    return client


def _check_endpoint(url: str) -> None:
    """A signature is a bearer credential: it goes in clear to no other machine."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigurationError(
            f"AWS_ENDPOINT_URL names {parts.scheme}://{parts.hostname}, which is not https.",
            remedy="Use https, or plain http to this machine only.",
        )
