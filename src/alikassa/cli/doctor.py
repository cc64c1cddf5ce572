"""`alikassa doctor`: why does it not work, and what to do."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.connection import (
    AccountOption,
    BaseUrlOption,
    BodyOption,
    CaBundleOption,
    DigestOption,
    KeysOption,
    ProfileOption,
    ProxyOption,
    TimeoutOption,
    connection,
    given_options,
)
from alikassa.cli.options import JsonOption
from alikassa.cli.output import print_json
from alikassa.doctor.levels import Language, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alikassa.doctor.examine import Examination
    from alikassa.doctor.findings import Finding

__all__ = ["add_to"]

_COLOURS = {Level.OK: "green", Level.NOTE: "blue", Level.WARNING: "yellow", Level.ERROR: "red"}
_LEVELS = {
    Language.EN: {level: level.value for level in Level},
    Language.RU: {Level.OK: "хорошо", Level.NOTE: "к сведению", Level.WARNING: "внимание", Level.ERROR: "ошибка"},
}


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: `alikassa doctor --profile shop --payment-keys cert/payment`")(doctor)


def doctor(
    context: typer.Context,
    profile: ProfileOption = None,
    account: AccountOption = None,
    keys: KeysOption = None,
    base_url: BaseUrlOption = None,
    digest: DigestOption = None,
    body: BodyOption = None,
    timeout: TimeoutOption = None,
    ca_bundle: CaBundleOption = None,
    proxy: ProxyOption = None,
    payment_keys: Annotated[
        str | None,
        typer.Option("--payment-keys", metavar="DIR", help="The payment certificate's archive, to find a mix-up."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Look at the files only; ask nobody.")] = False,
    language: Annotated[Language, typer.Option("--lang", help="Language of the findings.")] = Language.EN,
    as_json: JsonOption = False,
) -> None:
    """Find out why a request is refused: files, key, network, TLS, then at most eight real requests.

    Each finding says what was found, what it means and what to do. The exit code is that of the most fundamental
    error: 3 configuration or key, 5 network, 6 server, 4 refused; 0 without one. Nothing secret is printed.
    """
    from alikassa.doctor.examine import Examination
    from alikassa.doctor.findings import exit_code
    from alikassa.doctor.network import SECONDS

    settings = connection(context, profile, given_options(context), check=False).settings
    what = Examination(settings, payment_keys, offline, min(settings.timeout or SECONDS, SECONDS))
    findings: list[Finding] = []
    area = ""
    for step in _steps(what):
        findings += step
        if not as_json:
            area = _print(step, area, language)
    if as_json:
        print_json({"exit_code": exit_code(findings), "findings": [_record(finding, language) for finding in findings]})
    sys.exit(exit_code(findings))


def _steps(what: Examination) -> Iterator[list[Finding]]:
    """The findings, a step at a time. Who waits at a terminal sees that something goes on."""
    from alikassa.doctor.examine import examine

    steps = examine(what)
    while True:
        with _waiting():
            step = next(steps, None)
        if step is None:
            return
        yield step


def _waiting() -> AbstractContextManager[object]:
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status("...")


def _print(findings: Iterable[Finding], area: str, language: Language) -> str:
    """Print a step's findings, each area under its title; the area that is open after it."""
    from alikassa.doctor.texts import AREAS

    # None: on a terminal.
    colour = False if os.environ.get("NO_COLOR") else None
    for finding in findings:
        if finding.area != area:
            area = finding.area
            typer.secho(AREAS[area][language is Language.RU], bold=True, color=colour)
        level = typer.style(_LEVELS[language][finding.level], fg=_COLOURS[finding.level])
        found, *rest = finding.words(language)
        typer.echo(f"  {level}: {found}", color=colour)
        for line in filter(None, rest):
            typer.echo(f"      {line}")
        for number, cause in enumerate(finding.causes, 1):
            typer.echo(f"      {number}. {' '.join(filter(None, cause.words(language)))}")
    sys.stdout.flush()
    return area


def _record(finding: Finding, language: Language) -> dict[str, object]:
    words = finding.words(language)
    return {
        "level": finding.level.value,
        "code": finding.code,
        "found": words.found,
        "meaning": words.meaning,
        "remedy": words.remedy,
        "causes": [_record(cause, language) for cause in finding.causes],
    }
