"""What `make release-check` finds, and what it must not let pass."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))

import release_check  # noqa: E402 - a developer's tool is in no package
from release_check import UnreleasedError, audit, changelog, told  # noqa: E402
from release_materials import needed, vendored, without_tools  # noqa: E402
from release_wheel import NotReleasableError, build_twice, contents_of, differences  # noqa: E402


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two builds of the last commit."""
    return build_twice(ROOT, tmp_path_factory.mktemp("wheels"))


def test_two_builds_are_the_same_file(wheels: tuple[Path, Path]) -> None:
    """Whatever the folder, the time, the zone, the language and the rights of new files."""
    assert wheels[0].read_bytes() == wheels[1].read_bytes()


def test_the_wheel_is_the_package_and_nothing_else(wheels: tuple[Path, Path]) -> None:
    """Pages, styles, scripts with their licences, examples and the catalogue are in it; tests and tools are not."""
    assert contents_of(wheels[0], ROOT) > 200
    names = zipfile.ZipFile(wheels[0]).namelist()
    for expected in (
        "alikassa/py.typed",
        "alikassa/cabinet/templates/base.html",
        "alikassa/cabinet/static/vendor/htmx.LICENSE",
        "alikassa/cabinet/examples/go/main.go",
        "alikassa/cabinet/locale/ru.po",
    ):
        assert expected in names
    assert [name for name in names if name.startswith(("tests/", "tools/", "docs/"))] == []


@pytest.mark.parametrize(
    ("dropped", "added", "words"),
    [
        ("alikassa/py.typed", None, "lacks alikassa/py.typed"),
        (None, "tests/test_x.py", "should not have tests/test_x.py"),
        (None, "alikassa/cabinet/private.pem", "should not have alikassa/cabinet/private.pem"),
    ],
)
def test_a_wheel_with_other_contents_is_refused(
    wheels: tuple[Path, Path], tmp_path: Path, dropped: str | None, added: str | None, words: str
) -> None:
    """A file that is missing or too many is named."""
    changed = tmp_path / wheels[0].name
    with zipfile.ZipFile(wheels[0]) as one, zipfile.ZipFile(changed, "w") as other:
        for info in one.infolist():
            if info.filename != dropped:
                other.writestr(info, one.read(info))
        if added:
            other.writestr(added, "x")
    with pytest.raises(NotReleasableError, match=words):
        contents_of(changed, ROOT)
    assert differences(wheels[0], changed) == [dropped or added]


# The changelog


def project(folder: Path, changelog_text: str) -> Path:
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n{changelog_text}")
    return folder


SIGNED = "Signed-off-by: Olga Release <olga@example.org>\n"
OLDER = f"## [1.1.0] - 2026-01-01\n\n- Another.\n\n{SIGNED}"
DATED = f"## [Unreleased]\n\n- A thing to come.\n\n## [1.2.0] - 2026-11-24\n\n- A thing.\n\n{SIGNED}\n{OLDER}"
UNRELEASED = f"## [Unreleased]\n\n- A thing.\n\n{OLDER}"


def test_a_dated_section_that_is_signed_off_passes(tmp_path: Path) -> None:
    """Day and name are told, whatever else is to come."""
    assert changelog(project(tmp_path, DATED)) == "1.2.0 of 2026-11-24, signed off by Olga Release <olga@example.org>"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DATED.replace(SIGNED, "", 1), "Nobody has signed off 1.2.0"),
        (DATED.replace("Olga Release <", "<"), "Nobody has signed off 1.2.0"),
        (DATED.replace("<olga@example.org>", "<>"), "Nobody has signed off 1.2.0"),
        (DATED.replace(" - 2026-11-24", ""), "no day for 1.2.0"),
        (DATED.replace("2026-11-24", "today"), "no day for 1.2.0"),
        (DATED.replace("2026-11-24", "2026-11-31"), "no day for 1.2.0"),
        ("## [1.1.0] - 2026-01-01\n\n- Another.\n", "says nothing of 1.2.0"),
        ("## [Unreleased]\n\n## [1.1.0] - 2026-01-01\n\n- Another.\n", "says nothing of 1.2.0"),
        ("## [1.2.0] - 2026-11-24\n\n## [1.1.0] - 2026-01-01\n\n- Another.\n", "says nothing of 1.2.0"),
    ],
)
def test_a_changelog_that_is_not_ready_says_what_to_do(tmp_path: Path, text: str, words: str) -> None:
    """No section, an empty one, one without a day that there is, one that nobody signed off, though an older one is."""
    with pytest.raises(NotReleasableError, match=words):
        changelog(project(tmp_path, text))


def test_what_is_unreleased_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not `ok`: nothing is released, and it is told what a release has. Nothing failed either."""
    project(tmp_path, UNRELEASED)
    with pytest.raises(UnreleasedError):
        changelog(tmp_path)
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    for name in ("wheel", "bill_of_materials", "audit"):
        monkeypatch.setattr(release_check, name, lambda *_: "fine")
    with pytest.raises(SystemExit) as ended:
        release_check.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("NOT YET changelog: nothing is released: CHANGELOG.md has no section of 1.2.0.")
    assert "`## [1.2.0] - `" in said[0]
    assert "Signed-off-by: NAME <" in said[0]
    assert said[1:] == ["ok      wheel: fine", "ok      materials: fine", "ok      advisories: fine"]
    assert ended.value.code == 0


# Advisories. The reports are as pip-audit 2.10 prints them.

KNOWN = {"name": "anyio", "version": "4.16.0", "vulns": []}
SKIPPED = {"name": "boto3", "skip_reason": "Dependency not found on PyPI and could not be audited: boto3 (1.44.8)"}
FAULTY = {"name": "jinja2", "version": "2.0", "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"]}]}


@pytest.mark.parametrize(
    ("report", "errors", "words"),
    [
        (json.dumps({"dependencies": [KNOWN, FAULTY]}), "", r"jinja2 2\.0 \(PYSEC-2019-217\)"),
        (json.dumps({"dependencies": [SKIPPED, FAULTY]}), "", "Vulnerable"),
        (json.dumps({"dependencies": [KNOWN, SKIPPED]}), "", "NOT DONE for 1 of 2 packages"),
        (json.dumps({"dependencies": []}), "", "NOT DONE"),
        ("", "ERROR: it could not connect\n", "NOT DONE: ERROR: it could not connect"),
        ("", "", "NOT DONE: no answer"),
    ],
)
def test_what_was_not_looked_up_is_not_done(report: str, errors: str, words: str) -> None:
    """pip-audit ends well where its service does not know a package; the check does not."""
    with pytest.raises(NotReleasableError, match=words):
        told(report, errors)


def test_packages_without_faults_pass() -> None:
    """Their number is told."""
    assert told(json.dumps({"dependencies": [KNOWN]}), "") == "none known for 1 packages"


def test_offline_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only where somebody says so, and it is said."""
    monkeypatch.setenv("ALIKASSA_OFFLINE", "1")
    assert "SKIPPED" in audit(tmp_path / "no.lock")


# The bill of materials


def test_the_bill_has_what_the_package_leads_to() -> None:
    """What an extra needs is in it, over any number of steps; a tool, or what only others' own tests want, is not."""
    found = needed("alikassa")
    assert {"cryptography", "litestar", "botocore", "cffi", "numpy"} <= found
    assert found.isdisjoint({"pytest", "setuptools", "pip", "mypy", "hypothesis"})


def test_the_bill_names_nothing_else() -> None:
    """Neither as a component nor as what one depends on."""
    bill = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [{"bom-ref": f"{name}==1", "name": name} for name in ("Jinja2", "babel", "setuptools")],
        "dependencies": [
            {"ref": "root", "dependsOn": ["Jinja2==1"]},
            {"ref": "Jinja2==1", "dependsOn": ["babel==1"]},
            {"ref": "babel==1", "dependsOn": ["setuptools==1"]},
            {"ref": "setuptools==1"},
        ],
    }
    kept = without_tools(bill, {"jinja2", "babel"})
    assert [one["name"] for one in kept["components"]] == ["Jinja2", "babel"]
    assert "setuptools" not in json.dumps(kept)


def test_the_bill_has_the_scripts_that_pages_load() -> None:
    """Each vendored script, as the table beside it says."""
    folder = ROOT / "src/alikassa/cabinet/static/vendor"
    found = vendored((folder / "README.md").read_text())
    assert len(found) == len(list(folder.glob("*.js")))
    assert found[0]["purl"] == "pkg:npm/htmx.org@2.0.11"
