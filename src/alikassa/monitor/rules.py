"""The file of alert rules: what is watched for, and where alerts go."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from alikassa.errors import ConfigurationError, InvalidInputError
from alikassa.monitor.durations import parse_duration
from alikassa.monitor.snapshots import Bucket

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["Above", "Below", "Drop", "HoldGrown", "NoAnswer", "PendingStuck", "Rule", "Rules", "Webhook", "load_rules"]

_AMOUNT = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_ADDRESS = re.compile(r"[!-~]{1,2000}", re.ASCII)
_LARGEST_FILE = 256 * 1024
_MOST_RULES = 200
_LONGEST = timedelta(days=31)


def _amount(text: str) -> Decimal:
    if _AMOUNT.fullmatch(text) is None:
        raise ValueError(f'{text[:64]!r} is no amount: write plain digits in quotes, such as "93.84"')
    return Decimal(text)


def _span(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except InvalidInputError as error:
        raise ValueError(f"{error} {error.remedy}") from error
    if found > _LONGEST:
        raise ValueError(f"{text} is longer than {_LONGEST.days} days")
    return found


class _Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="when"):
    """`profiles` are those that the rule is for; left out: all."""

    name: str
    profiles: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ValueError(f"{self.name[:64]!r} is no name: use letters, digits, dot, dash and underscore")
        if self.profiles == ():
            raise ValueError(f"{self.name} is for no profile: name one, or leave profiles out for all")
        self.window  # noqa: B018 - raises for what it cannot be

    @property
    def window(self) -> timedelta:
        """How far back a decision looks."""
        return timedelta()


class _Threshold(_Rule, frozen=True, kw_only=True):
    bucket: Bucket = Bucket.BALANCE
    amount: str
    margin: str = "0"

    def __post_init__(self) -> None:
        super().__post_init__()
        _amount(self.amount)
        _amount(self.margin)

    @property
    def limit(self) -> Decimal:
        return _amount(self.amount)

    @property
    def slack(self) -> Decimal:
        return _amount(self.margin)

    def _check_slack(self) -> None:
        # An alert that waits for less than nothing would stay on for ever, and never fire again.
        if self.slack > self.limit:
            raise ValueError(f"{self.name} would never be over: its margin is larger than its amount")


class _Within(_Threshold, frozen=True, kw_only=True):
    within: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_slack()
        if not self.limit:
            raise ValueError(f"{self.name} would fire at every look: its amount is 0")

    @property
    def window(self) -> timedelta:
        return _span(self.within)


class Below(_Threshold, frozen=True, kw_only=True, tag="below"):
    """The bucket is below `amount`; over once it reaches `amount` + `margin`."""


class Above(_Threshold, frozen=True, kw_only=True, tag="above"):
    """The bucket is above `amount`; over once it is down to `amount` - `margin`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_slack()


class Drop(_Within, frozen=True, kw_only=True, tag="drop"):
    """The bucket is `amount` or more lower than its highest `within` the time; over once that is `amount` - `margin`
    or less, and less than `amount`.

    What was told last before that time counts too: it held when the time began. Nobody may have looked for long, so the
    alert says how old the highest is.
    """


class HoldGrown(_Within, frozen=True, kw_only=True, tag="hold_grown"):
    """As Drop, for a rise above the lowest of `hold`."""

    bucket: Bucket = Bucket.HOLD


class _Lasting(_Rule, frozen=True, kw_only=True):
    lasting: str = msgspec.field(name="for")

    @property
    def window(self) -> timedelta:
        return _span(self.lasting)


class PendingStuck(_Lasting, frozen=True, kw_only=True, tag="pending_stuck"):
    """Pending payouts are above 0 and have not changed `for` the time; over once they are seen to change."""


class NoAnswer(_Lasting, frozen=True, kw_only=True, tag="no_answer"):
    """Every look has failed `for` the time; over at the first answer."""


Rule = Below | Above | Drop | HoldGrown | PendingStuck | NoAnswer


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where alerts are posted as JSON. `secret_env` names the environment variable with the key of the signature."""

    url: str
    secret_env: str | None = None
    ca_bundle: str | None = None

    def __post_init__(self) -> None:
        from alikassa.client.checks import check_base_url

        if _ADDRESS.fullmatch(self.url) is None:
            raise ValueError("the webhook's url has characters that an address does not have: write them as %41")
        try:
            parts = urlsplit(self.url)
            check_base_url(f"{parts.scheme}://{parts.netloc}")
        except (ValueError, ConfigurationError):
            # Without the address: its path may be all the secret there is.
            raise ValueError("the webhook's url is not https, or http to this machine itself") from None
        if self.secret_env is not None and _VARIABLE.fullmatch(self.secret_env) is None:
            raise ValueError("secret_env is the name of an environment variable, not the secret itself")

    def __repr__(self) -> str:
        return f"Webhook({urlsplit(self.url).hostname})"


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the file says. `notify` are Apprise addresses, which hold secrets: they are never shown."""

    rule: tuple[Rule, ...] = ()
    notify: tuple[str, ...] = ()
    webhook: Webhook | None = None

    @property
    def window(self) -> timedelta:
        """How far back the decisions look: what the history must keep."""
        return max((rule.window for rule in self.rule), default=timedelta())

    def check(self, profiles: Collection[str], keep: timedelta) -> None:
        """Raise ConfigurationError for a rule that could never fire: of a profile that is none of these, or looking
        farther back than the history is kept."""
        for rule in self.rule:
            for name in rule.profiles or ():
                if name not in profiles:
                    raise ConfigurationError(
                        f"Rule {rule.name} is for {name[:64]!r}, and there is no such profile.",
                        remedy="Correct the rule's profiles, or make the profile: alikassa profile add NAME",
                    )
            if rule.window > keep:
                raise ConfigurationError(
                    f"Rule {rule.name} looks farther back than the history is kept.", remedy="Give a longer --keep."
                )

    def of(self, profile: str) -> list[Rule]:
        """The rules for a profile, in the file's order."""
        return [rule for rule in self.rule if rule.profiles is None or profile in rule.profiles]

    def __repr__(self) -> str:
        return f"Rules({len(self.rule)} rules, {len(self.notify)} addresses, {self.webhook!r})"


def load_rules(path: Path) -> Rules:
    """Read and check the file. ConfigurationError says what in it is not understood, and where."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror}.") from error
    problem = ""
    try:
        if len(content) > _LARGEST_FILE:
            raise ValueError("it is larger than 256 KiB")
        rules = msgspec.convert(tomllib.loads(content.decode("utf-8")), Rules)
        names = [rule.name for rule in rules.rule]
        if len(names) > _MOST_RULES:
            raise ValueError(f"it has more than {_MOST_RULES} rules")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are named {twice[0]}")
    except (ValueError, msgspec.ValidationError) as error:
        problem = str(error).rstrip(".")
    else:
        return rules
    # No chain: a parser's error may hold the line, and the line an address with its secret.
    raise ConfigurationError(
        f"{path} is not understood: {problem}.", remedy="Correct it; docs/monitor.md has examples."
    )
