"""`alikassa convert`: the other form of private.pem, checked by openssl and by programs in other languages."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from alikassa.keys.conversion import readers
from alikassa.protocol.archive import ArchiveFiles
from alikassa.protocol.certificates import load_public_key
from command_line import CONFIGURATION, call, complaint, printed
from test_cli_keys import opened_by_openssl
from test_examples import CONFIGURATION as NO_KEY
from test_examples import PREPARATIONS, environment

FIRST_LINES = {"pkcs8": "-----BEGIN ENCRYPTED PRIVATE KEY-----", "traditional": "-----BEGIN RSA PRIVATE KEY-----"}


@pytest.fixture
def archive(archives: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of an archive, traditional, that a test may change."""
    return Path(shutil.copytree(archives("payout"), tmp_path / "archive"))


def test_there_and_back_is_the_same_key(archive: Path) -> None:
    """openssl reads the same numbers from the key, with the same passphrase, in either form and after both ways."""
    before = opened_by_openssl(archive, "-modulus")
    for form in ("pkcs8", "traditional"):
        assert call("convert", archive, "--to", form, "--force").returncode == 0
        assert (archive / "private.pem").read_text().startswith(FIRST_LINES[form])
        assert opened_by_openssl(archive, "-modulus") == before


def test_traditional_is_under_aes_256(archive: Path) -> None:
    """The traditional form is protected by AES-256, whatever protected the key before."""
    call("convert", archive, "--to", "pkcs8", "--force")
    call("convert", archive, "--to", "traditional", "--force")
    assert (archive / "private.pem").read_text().splitlines()[2].startswith("DEK-Info: AES-256-CBC,")


def test_nothing_is_overwritten_without_force(archive: Path) -> None:
    """In place, and into a folder that holds one of the files: it is named, and everything stays as it was."""
    before = (archive / "private.pem").read_bytes()
    assert "private.pem" in complaint(CONFIGURATION, "convert", archive)
    other = archive.parent / "other"
    other.mkdir()
    (other / "public.pem").write_text("precious")
    assert "public.pem" in complaint(CONFIGURATION, "convert", archive, "--output", other)
    assert (archive / "private.pem").read_bytes() == before
    assert [(file.name, file.read_text()) for file in other.iterdir()] == [("public.pem", "precious")]


@pytest.mark.filterwarnings("ignore::alikassa.protocol.archive.InsecureKeyWarning")
@pytest.mark.parametrize("place", ["in place", "elsewhere"])
def test_the_result_is_for_its_owner_only(archive: Path, place: str) -> None:
    """private.pem has mode 0600, also where it replaces one that others could read; nothing else is left there."""
    (archive / "private.pem").chmod(0o644)
    target = archive if place == "in place" else archive.parent / "new"
    assert call("convert", archive, *(["--force"] if target == archive else ["--output", target])).returncode == 0
    assert stat.S_IMODE((target / "private.pem").stat().st_mode) == 0o600
    assert sorted(file.name for file in target.iterdir()) == ["password.txt", "private.pem", "public.pem"]


def test_the_newline_is_taken_off_on_request(archive: Path) -> None:
    """--trim-passphrase leaves password.txt without its newline, and the key opens with what is in it."""
    passphrase = (archive / "password.txt").read_bytes()
    (archive / "password.txt").write_bytes(passphrase + b"\r\n")
    call("convert", archive, "--force")
    assert (archive / "password.txt").read_bytes() == passphrase + b"\r\n"
    call("convert", archive, "--force", "--trim-passphrase")
    assert (archive / "password.txt").read_bytes() == passphrase
    assert "RSA key ok" in opened_by_openssl(archive, "-check")


def test_no_passphrase_is_printed(archive: Path) -> None:
    """What the command says does not hold the passphrase, whether it succeeds or not."""
    secret = (archive / "password.txt").read_text()
    done, failed = call("convert", archive, "--force"), call("convert", archive)
    assert secret not in done.stdout + done.stderr + failed.stdout + failed.stderr


def test_a_passphrase_of_another_key_is_refused(archive: Path) -> None:
    """A passphrase that does not open the key changes nothing, and is said."""
    before = (archive / "private.pem").read_bytes()
    (archive / "password.txt").write_text("wrong")
    assert "passphrase does not open" in complaint(CONFIGURATION, "convert", archive, "--force")
    assert (archive / "private.pem").read_bytes() == before


# Who reads the result


@pytest.mark.parametrize(
    ("form", "end", "able"),
    [
        ("traditional", "", ["PHP", "Node", "Python", "Java", "Go"]),
        ("pkcs8", "", ["PHP", "Node", "Python"]),
        ("traditional", "\n", ["Node", "Python"]),
        ("pkcs8", "\n", ["Node", "Python"]),
    ],
)
def test_says_which_languages_read_it(archive: Path, form: str, end: str, able: list[str]) -> None:
    """As the page's programs were found to read: two trim the passphrase, two read the traditional form alone."""
    with (archive / "password.txt").open("a") as file:
        file.write(end)
    assert printed("convert", archive, "--to", form, "--force")["read_by"] == able


def test_a_newline_that_belongs_to_the_passphrase(archive: Path) -> None:
    """A key that was really protected with the newline is read by those who take the passphrase as it stands."""
    plain = subprocess.run(
        ["openssl", "rsa", "-in", archive / "private.pem", "-passin", f"file:{archive / 'password.txt'}"],
        capture_output=True,
        check=True,
    ).stdout
    pem = subprocess.run(
        ["openssl", "rsa", "-traditional", "-aes256", "-passout", "env:PASSPHRASE"],
        input=plain,
        capture_output=True,
        check=True,
        env=environment(PASSPHRASE="word\n"),
    ).stdout
    public = (archive / "public.pem").read_bytes()
    files = ArchiveFiles(pem, b"word\n", public, load_public_key(public))
    assert readers(files)[0] == ["PHP", "Java", "Go"]


@pytest.mark.parametrize("language", ["java", "go"])
def test_real_programs_read_the_traditional_form_alone(archive: Path, tmp_path: Path, language: str) -> None:
    """The example in this language opens the traditional key, and says of the PKCS#8 one that it cannot."""
    (tmp_path / "build").mkdir()
    command = PREPARATIONS[language](tmp_path / "build")

    def ends_with(form: str) -> int:
        assert call("convert", archive, "--to", form, "--force").returncode == 0
        settings = {
            "ALIKASSA_ACCOUNT": "93d5df06-996c-48c3-9847-348d6b580b80",
            "ALIKASSA_KEYS": str(archive),
            "ALIKASSA_BASE_URL": "https://127.0.0.1:1",
        }
        return subprocess.run(
            command, env=environment(**settings), capture_output=True, timeout=60, check=False
        ).returncode

    assert ends_with("pkcs8") == NO_KEY
    assert ends_with("traditional") == 5  # the key is read, and nobody answers


def test_the_help_names_both_forms() -> None:
    """--help says what may follow --to."""
    assert re.search(r"traditional\W+pkcs8", call("convert", "--help").stdout)
