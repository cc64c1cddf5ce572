"""A key in AWS KMS, with moto's server over HTTP."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from alikassa.client.sync import Client
from alikassa.errors import (
    AlikassaError,
    CertificateError,
    ConfigurationError,
    DeadlineExceededError,
    NetworkError,
    ProtocolError,
)
from alikassa.keys import open_signer, public_key_of
from command_line import call
from conftest import PAGE_ACCOUNT
from wire_server import ok, silence, wire_server


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of a key service that speaks KMS."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def settings(service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AWS's settings of this test alone."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": service,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def kms() -> Any:
    import boto3

    return boto3.client("kms")


@pytest.fixture
def key(kms: Any) -> dict[str, str]:
    """A new RSA key for signatures."""
    made: dict[str, str] = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    return made


def verified(kms: Any, key: dict[str, str], signature: bytes, body: bytes, folder: Path) -> bool:
    """Whether openssl finds that this is the key's signature, SHA-256 under PKCS#1 v1.5."""
    (folder / "key.der").write_bytes(kms.get_public_key(KeyId=key["KeyId"])["PublicKey"])
    (folder / "signature").write_bytes(signature)
    command: list[str | Path] = ["openssl", "dgst", "-sha256", "-verify", folder / "key.der", "-keyform", "DER"]
    done = subprocess.run([*command, "-signature", folder / "signature"], input=body, capture_output=True, check=False)
    return done.returncode == 0


def test_signs_by_id_arn_and_alias(kms: Any, key: dict[str, str], tmp_path: Path) -> None:
    """However the key is named, openssl finds its signature good."""
    kms.create_alias(AliasName=f"alias/{key['KeyId']}", TargetKeyId=key["KeyId"])
    for name in (key["KeyId"], key["Arn"], f"alias/{key['KeyId']}"):
        signature = open_signer(f"aws-kms:{name}").sign(b"{}")
        assert verified(kms, key, signature, b"{}", tmp_path)
    assert not verified(kms, key, signature, b"[]", tmp_path)


def test_a_client_asks_kms_once(key: dict[str, str], kms: Any, tmp_path: Path) -> None:
    """`Client` takes the key's place for `keys`, and remembers the signature: it is sent when KMS has gone, too."""
    with wire_server(ok()) as server, Client(PAGE_ACCOUNT, f"aws-kms:{key['KeyId']}", base_url=server.url) as client:
        client.balance()
        kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
        client.balance()
    signs = [line for one in server.requests for line in one.split(b"\r\n") if line.lower().startswith(b"sign:")]
    assert len(signs) == 2
    assert signs[0] == signs[1]


@pytest.mark.by_the_clock
def test_a_calls_time_covers_kms(key: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A KMS that accepts the question and says nothing keeps a call no longer than its `timeout`."""
    with wire_server(silence(2)) as silent, Client(PAGE_ACCOUNT, f"aws-kms:{key['KeyId']}", timeout=0.4) as client:
        monkeypatch.setenv("AWS_ENDPOINT_URL", silent.url)
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError, match="No signature within"):
            client.balance()
    assert time.monotonic() - started < 3, "two tries at KMS take four seconds"


def test_an_arn_brings_its_region(key: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region in the environment, an ARN is enough and an id is not; AWS_REGION alone is."""
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert len(open_signer(f"aws-kms:{key['Arn']}").sign(b"{}")) == 256
    with monkeypatch.context() as named:
        named.setenv("AWS_REGION", "eu-west-1")
        assert len(open_signer(f"aws-kms:{key['KeyId']}").sign(b"{}")) == 256
    error = complaint(key["KeyId"])
    assert isinstance(error, ConfigurationError)
    assert "AWS_REGION" in error.remedy


def test_threads_share_a_signer(key: dict[str, str]) -> None:
    """Threads that meet at the first signature all get it."""
    signer = open_signer(f"aws-kms:{key['KeyId']}")
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(signer.sign, [b"{}"] * 8))) == 1


def test_the_public_key_is_kmss_own(kms: Any, key: dict[str, str]) -> None:
    """The public half, with its fingerprint, is what KMS tells."""
    found = public_key_of(open_signer(f"aws-kms:{key['KeyId']}"))
    assert found is not None
    assert found.der == kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]


def test_the_signature_is_in_no_log(key: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Not even at the lowest level, where AWS's library writes whole answers."""
    caplog.set_level(1)
    signature = open_signer(f"aws-kms:{key['KeyId']}").sign(b"{}")
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "botocore" in {record.name.split(".")[0] for record in caplog.records}
    assert base64.b64encode(signature).decode()[:24] not in logged
    assert repr(signature)[2:20] not in logged


# What is wrong


def complaint(key: str) -> AlikassaError:
    with pytest.raises(AlikassaError) as caught:
        open_signer(f"aws-kms:{key}").sign(b"{}")
    return caught.value


def test_no_such_key(kms: Any) -> None:
    """A key that is not there is a CertificateError that repeats its name."""
    error = complaint("alias/nowhere")
    assert isinstance(error, CertificateError)
    assert "alias/nowhere" in str(error)
    assert error.remedy


@pytest.mark.parametrize("spec", [{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}, {}])
def test_key_of_another_kind(kms: Any, spec: dict[str, str]) -> None:
    """A key that is not for RSA signatures is a CertificateError that says what it has to be."""
    error = complaint(kms.create_key(**spec)["KeyMetadata"]["KeyId"])
    assert isinstance(error, CertificateError)
    assert "RSA" in error.remedy


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException"])
def test_who_may_not_is_told(code: str, monkeypatch: pytest.MonkeyPatch, key: dict[str, str]) -> None:
    """AWS's refusals of the caller are ConfigurationErrors, with a remedy."""
    error = answered(code, monkeypatch, key)
    assert isinstance(error, ConfigurationError)
    assert error.remedy


@pytest.mark.parametrize("code", ["ThrottlingException", "KMSInternalException", "KeyUnavailableException"])
def test_kms_that_cannot_just_now(code: str, monkeypatch: pytest.MonkeyPatch, key: dict[str, str]) -> None:
    """What passes by itself is a NetworkError, which a client tries again."""
    error = answered(code, monkeypatch, key)
    assert isinstance(error, NetworkError)
    assert error.retryable


def answered(code: str, monkeypatch: pytest.MonkeyPatch, key: dict[str, str]) -> AlikassaError:
    """What becomes of an answer with this code of AWS's."""
    from wire_server import respond

    with wire_server(respond(400, f'{{"__type":"{code}","message":"no"}}'.encode())) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        return complaint(key["KeyId"])


def test_kms_that_is_away(unused_port: int, monkeypatch: pytest.MonkeyPatch, key: dict[str, str]) -> None:
    """Where nobody listens, it is a NetworkError that names the setting."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_port}")
    error = complaint(key["KeyId"])
    assert isinstance(error, NetworkError)
    assert "AWS_ENDPOINT_URL" in error.remedy


def test_credentials_are_in_no_traceback(
    monkeypatch: pytest.MonkeyPatch, key: dict[str, str], unused_port: int
) -> None:
    """Not even in one that shows the variables of AWS's library."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-key")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-session-token")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_port}")
    told = traceback.TracebackException.from_exception(complaint(key["KeyId"]), capture_locals=True)
    shown = "".join(told.format())
    assert "does not answer" in shown
    assert "a-secret-key" not in shown
    assert "a-session-token" not in shown


def test_an_answer_without_a_signature(monkeypatch: pytest.MonkeyPatch, key: dict[str, str]) -> None:
    """Something else that answers in KMS's place is told as such."""
    with wire_server(ok(b'{"KeyId":"a"}')) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        assert isinstance(complaint(key["KeyId"]), ProtocolError)


@pytest.mark.parametrize("url", ["http://kms.invalid", "nonsense"])
def test_an_endpoint_that_is_none(url: str, monkeypatch: pytest.MonkeyPatch, key: dict[str, str]) -> None:
    """No signature is fetched in clear from another machine; what is no address is a mistake in the settings."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    assert isinstance(complaint(key["KeyId"]), ConfigurationError)


def test_without_credentials(monkeypatch: pytest.MonkeyPatch, key: dict[str, str]) -> None:
    """Without credentials nothing is asked."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = complaint(key["KeyId"])
    assert isinstance(error, ConfigurationError)
    assert "credentials" in str(error)


def test_whoami_does_not_ask_kms() -> None:
    """It tells the settings, and makes no request to a key service either."""
    with wire_server() as server:
        place = ("--account", PAGE_ACCOUNT, "--keys", "aws-kms:alias/payout")
        done = call("whoami", *place, "--json", env={"AWS_ENDPOINT_URL": server.url})
    assert (done.returncode, server.connections) == (0, 0)
    assert json.loads(done.stdout)["key"]["fingerprint"] is None


def test_sha1_is_not_offered() -> None:
    """KMS makes no SHA-1 signatures, which is said before it is asked."""
    with pytest.raises(ConfigurationError, match="SHA-1"):
        open_signer("aws-kms:alias/payout", "sha1")


@pytest.mark.parametrize("package", ["boto3", "pkcs11"])
def test_missing_extra_says_how_to_get_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package that a place needs, the message holds the command that installs it."""
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    place, extra = {"boto3": ("aws-kms:alias/a", "kms"), "pkcs11": ("pkcs11:object=a?module-path=/a", "pkcs11")}[
        package
    ]
    with pytest.raises(ConfigurationError) as caught:
        open_signer(place)
    assert f"pip install 'alikassa[{extra}]'" in caught.value.remedy
