"""A key in a PKCS#11 token, with SoftHSM: the real library, a token of the test's own."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from alikassa.client.sync import Client
from alikassa.errors import AlikassaError, CertificateError, ConfigurationError
from alikassa.keys import open_signer, public_key_of
from alikassa.keys.token_uri import parse_token_uri
from conftest import PAGE_ACCOUNT, openssl_sign
from test_cli_keys import openssl
from test_examples import environment, missing, require
from test_keys import variables
from wire_server import ok, wire_server

LIBRARIES = [Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/local/lib/softhsm/libsofthsm2.so")]
PIN = "4321"


class Token(NamedTuple):
    uri: str
    library: str
    archive: Path


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory, archives: Callable[[str], Path]) -> Iterator[Token]:
    """A token `shop` with the archive's key as `payout`. The library reads its settings once a process."""
    require("softhsm2-util", "softhsm2")
    library = next((str(path) for path in LIBRARIES if path.exists()), "")
    if not library:
        missing("libsofthsm2.so", "softhsm2")
    folder, archive = tmp_path_factory.mktemp("token"), archives("payout")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTHSM2_CONF", str(settings))
    plain = folder / "plain.pem"
    unlock = ("-in", archive / "private.pem", "-passin", f"file:{archive / 'password.txt'}")
    openssl("pkcs8", "-topk8", "-nocrypt", *unlock, "-out", plain)
    for command in (
        ["--init-token", "--free", "--label", "shop", "--pin", PIN, "--so-pin", "87654321"],
        ["--import", str(plain), "--token", "shop", "--label", "payout", "--id", "a1", "--pin", PIN],
    ):
        subprocess.run(["softhsm2-util", *command], check=True, capture_output=True)
    plain.unlink()
    yield Token(f"pkcs11:token=shop;object=payout?module-path={library}", library, archive)
    patch.undo()


@pytest.fixture(autouse=True)
def pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIKASSA_PKCS11_PIN", PIN)


def expected(token: Token, digest: str = "sha256") -> bytes:
    return base64.b64decode(openssl_sign(token.archive, b"{}", digest))


@pytest.mark.parametrize("digest", ["sha256", "sha1"])
def test_the_token_signs_as_openssl_does(token: Token, digest: str) -> None:
    """The signature of a token's key is, with either digest, what openssl makes with the same key."""
    assert open_signer(token.uri, digest).sign(b"{}") == expected(token, digest)


def test_a_client_asks_with_a_token(token: Token) -> None:
    """`Client` takes the token's place for `keys`, and sends the signature that openssl makes."""
    with wire_server(ok()) as server, Client(PAGE_ACCOUNT, token.uri, base_url=server.url) as client:
        client.balance()
    assert openssl_sign(token.archive, b"{}").encode() in server.requests[0]


def test_the_public_key_is_the_archives(token: Token) -> None:
    """The token tells the public half, with its fingerprint."""
    assert public_key_of(open_signer(token.uri)) == public_key_of(open_signer(token.archive))


def test_the_id_names_the_key_too(token: Token) -> None:
    """A key is found by its id, written as RFC 7512 has it."""
    assert open_signer(token.uri.replace("object=payout", "id=%A1")).sign(b"{}") == expected(token)


def test_a_lost_session_is_opened_anew(token: Token) -> None:
    """A signer goes on after the library was started afresh, which ends all sessions, and after it was stopped."""
    import pkcs11

    signer = open_signer(token.uri)
    pkcs11.lib(token.library).reinitialize()
    assert signer.sign(b"{}") == expected(token)
    pkcs11.lib(token.library).finalize()
    assert signer.sign(b"{}") == expected(token)


def test_threads_share_a_signer(token: Token) -> None:
    """Many signatures at a time, from two signers of one token, are all right."""
    signers = [open_signer(token.uri), open_signer(token.uri)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: signers[number % 2].sign(b"{}"), range(80)))
    assert set(made) == {expected(token)}


FORKING = """
import os, sys
from alikassa.errors import CertificateError
from alikassa.keys import open_signer
signer = open_signer(sys.argv[1])
first = signer.sign(b"{}")
child = os.fork()
if child == 0:
    # A login of its own needs the PIN.
    pin = os.environ.pop("ALIKASSA_PKCS11_PIN")
    try:
        signer.sign(b"{}")
    except CertificateError:
        os.environ["ALIKASSA_PKCS11_PIN"] = pin
        os._exit(0 if signer.sign(b"{}") == first else 1)
    os._exit(3)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code or (0 if signer.sign(b"{}") == first else 2))
"""


def test_a_forked_child_opens_a_session_of_its_own(token: Token) -> None:
    """Child and parent both go on signing after a fork; the child logs in by itself."""
    done = subprocess.run([sys.executable, "-c", FORKING, token.uri], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_pin_may_be_in_a_file_or_given(token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pin-source names a file (its newline does not count) or a variable; a PIN that is given goes before both."""
    import pkcs11

    monkeypatch.delenv("ALIKASSA_PKCS11_PIN")
    monkeypatch.setenv("OTHER", PIN)
    secret = tmp_path / "pin"
    secret.touch(0o600)
    secret.write_text(f"{PIN}\n")
    for keys, given in (
        (f"{token.uri}&pin-source={secret}", None),
        (f"{token.uri}&pin-source=file://{secret}", None),
        (f"{token.uri}&pin-source=env:OTHER", None),
        (token.uri, PIN.encode()),
    ):
        pkcs11.lib(token.library).reinitialize()  # nobody is logged in any more
        assert open_signer(keys, passphrase=given).sign(b"{}") == expected(token)


def complaint(keys: str) -> AlikassaError:
    with pytest.raises(AlikassaError) as caught:
        open_signer(keys)
    assert caught.value.remedy
    return caught.value


def test_wrong_pin_is_said_and_not_shown(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong PIN is a CertificateError, so it is not tried again; it is in no text and no traceback's variable."""
    import pkcs11

    monkeypatch.setenv("ALIKASSA_PKCS11_PIN", "99887766")
    pkcs11.lib(token.library).reinitialize()
    error = complaint(token.uri)
    assert (type(error), error.retryable) == (CertificateError, False)
    assert "PIN is wrong" in str(error)
    assert "99887766" not in f"{error}{error.remedy}{error.__cause__!r}"
    with pytest.raises(CertificateError) as caught:
        open_signer(token.uri, passphrase=b"55443322")
    assert "55443322" not in variables(caught.value)


def test_no_pin_names_its_variable(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a PIN, the message says where it is looked for."""
    import pkcs11

    monkeypatch.delenv("ALIKASSA_PKCS11_PIN")
    pkcs11.lib(token.library).reinitialize()
    assert "ALIKASSA_PKCS11_PIN" in str(complaint(token.uri))


@pytest.mark.parametrize(
    ("old", "new", "kind", "said"),
    [
        ("token=shop", "token=other", CertificateError, "No token fits"),
        ("object=payout", "object=other", CertificateError, "payout (id a1)"),
        ("module-path=", "module-path=/nowhere", ConfigurationError, "no PKCS#11 library"),
        ("?", "?pin-value=12345678&", ConfigurationError, "ALIKASSA_PKCS11_PIN"),
        ("token=", "tokn=", ConfigurationError, "tokn= is not understood"),
        (";object=payout", "", ConfigurationError, "not named"),
    ],
)
def test_wrong_place_is_said(token: Token, old: str, new: str, kind: type[AlikassaError], said: str) -> None:
    """What is not there, or not understood, is named with what there is; a PIN in the text is refused, not repeated."""
    error = complaint(token.uri.replace(old, new, 1))
    assert type(error) is kind
    assert said in f"{error} {error.remedy}"
    assert "12345678" not in f"{error} {error.remedy}"


def test_what_is_no_library_is_said(token: Token) -> None:
    """A file that cannot be loaded is a mistake in the settings."""
    error = complaint(token.uri.replace(token.library, str(token.archive / "public.pem")))
    assert isinstance(error, ConfigurationError)


def test_repr_names_key_and_token(token: Token) -> None:
    """A signer is told by its key and its token, and without its PIN."""
    signer = open_signer(token.uri, passphrase=PIN.encode())
    assert "payout" in repr(signer)
    assert "shop" in repr(signer)
    assert PIN not in repr(signer)


def test_the_commands_of_the_documentation(token: Token, tmp_path: Path) -> None:
    """What docs/certificates.md shows for SoftHSM, typed in a folder with an archive, asks for the balance."""
    page = (Path(__file__).parent.parent / "docs" / "certificates.md").read_text()
    commands = page.partition("With SoftHSM")[2].partition("    ")[2].partition("\n\n")[0]
    (tmp_path / "tokens").mkdir()
    settings = tmp_path / "softhsm2.conf"
    settings.write_text(
        f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    shutil.copytree(token.archive, tmp_path / "cert" / "payout")
    with wire_server(ok()) as server:
        done = subprocess.run(
            ["bash", "-euc", commands.replace("UUID", PAGE_ACCOUNT).replace(str(LIBRARIES[0]), token.library)],
            cwd=tmp_path,
            env=environment(
                SOFTHSM2_CONF=str(settings),
                ALIKASSA_BASE_URL=server.url,
                PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "93.84000000" in done.stdout
    assert openssl_sign(token.archive, b"{}").encode() in server.requests[0]
    assert not (tmp_path / "plain.pem").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pkcs11:object=a;object=b?module-path=/x", "twice"),
        ("pkcs11:object=%ff?module-path=/x", "UTF-8"),
        ("pkcs11:object=a;slot-id=one?module-path=/x", "no number"),
        ("pkcs11:object=a;type=public?module-path=/x", "private"),
        ("pkcs11:object=a?module-path=/x&pin-source=|cat", "neither a file nor a variable"),
        ("pkcs11:object=a", "ALIKASSA_PKCS11_MODULE"),
        ("pkcs11:secret\x1b[1m", "no name"),
    ],
)
def test_malformed_text_is_a_configuration_error(text: str, said: str) -> None:
    """Each mistake in a pkcs11: text is named, without the value that is wrong."""
    error = complaint(text)
    assert isinstance(error, ConfigurationError)
    assert said in f"{error} {error.remedy}"
    assert "\x1b" not in f"{error} {error.remedy}"


def test_every_attribute_is_read(tmp_path: Path) -> None:
    """Percent-encoded text and ids, and each way to tell a token."""
    found = parse_token_uri(
        "pkcs11:token=My%20shop;serial=1f;manufacturer=M;model=HSM;slot-id=7;id=%01%ff;type=private"
        "?module-path=/lib/a.so&pin-source=file:///run/pin"
    )
    assert (found.token, found.serial, found.manufacturer, found.model) == ("My shop", "1f", "M", "HSM")
    assert (found.slot, found.id, found.label) == (7, b"\x01\xff", None)
    assert (found.module, found.pin_source) == ("/lib/a.so", "/run/pin")
