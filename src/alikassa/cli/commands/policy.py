"""`alikassa policy`: what is taken and held from an account's payments."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.books.telling import moment
from alikassa.cli.commands.booking import book
from alikassa.cli.commands.options import (
    PANEL,
    EffectiveAtOption,
    MetadataOption,
    ReasonOption,
    ReferenceOption,
    parse_amount,
    parse_metadata,
)
from alikassa.cli.commands.wording import policy_words
from alikassa.cli.on_database import on_database
from alikassa.cli.options import (
    AccountArgument,
    DatabaseOption,
    JsonOption,
)
from alikassa.cli.output import print_json, print_records

if TYPE_CHECKING:
    from alikassa.ledger.questions.policies import PolicyVersion

__all__ = ["add_to"]

_policy = typer.Typer(help="What is taken and held from an account's payments.", no_args_is_help=True)


class BaseChoice(StrEnum):
    GROSS = "gross"
    NET = "net"


class ClockStartChoice(StrEnum):
    PAYMENT = "payment"
    DAY_END = "day_end"


def _percent(name: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(name, metavar="PERCENT", parser=parse_amount, help=text)
    return option


def add_to(app: typer.Typer) -> None:
    app.add_typer(_policy, name="policy", rich_help_panel=PANEL)


@_policy.command(
    "set",
    epilog="Example: `alikassa policy set ACCOUNT --fee-percent 2.9 --fee-fixed 10 --hold-percent 20 --hold-days 2"
    " --reserve-percent 5 --reserve-days 30 --reference terms-1`",
)
def set_(
    account: AccountArgument,
    reference: ReferenceOption,
    database: DatabaseOption,
    fee_percent: Annotated[int | None, _percent("--fee-percent", "Fee, of the payment.")] = None,
    fee_fixed: Annotated[
        int | None, typer.Option("--fee-fixed", metavar="AMOUNT", parser=parse_amount, help="Fee beside that.")
    ] = None,
    hold_percent: Annotated[int | None, _percent("--hold-percent", "Held for a short while.")] = None,
    hold_days: Annotated[int, typer.Option("--hold-days", help="For how many days.")] = 0,
    reserve_percent: Annotated[int | None, _percent("--reserve-percent", "Held longer, against chargebacks.")] = None,
    reserve_days: Annotated[int, typer.Option("--reserve-days", help="For how many days.")] = 0,
    reserve_base: Annotated[
        BaseChoice,
        typer.Option("--reserve-base", help="The reserve is a part of the payment, or of what the fee leaves of it."),
    ] = BaseChoice.GROSS,
    time_zone: Annotated[
        str, typer.Option("--time-zone", metavar="ZONE", help="Whose calendar counts the days, such as Europe/Moscow.")
    ] = "UTC",
    clock_start: Annotated[
        ClockStartChoice,
        typer.Option("--clock-start", help="Days begin to count with the payment, or with the end of its day."),
    ] = ClockStartChoice.PAYMENT,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set new terms for the payments that are booked from now on. What is left out is nothing.

    Percentages have up to eight decimals. What is held already keeps the terms that it was held by.
    """
    from alikassa.ledger.commands import SetPolicy
    from alikassa.ledger.policy import Base, ClockStart, Policy

    _check_pair("hold", hold_percent, hold_days)
    _check_pair("reserve", reserve_percent, reserve_days)
    command = SetPolicy(
        account=account,
        policy=Policy(
            fee_percent=fee_percent or 0,
            fee_fixed=fee_fixed or 0,
            hold_percent=hold_percent or 0,
            hold_days=hold_days,
            reserve_percent=reserve_percent or 0,
            reserve_days=reserve_days,
            reserve_base=Base(reserve_base.value),
            time_zone=time_zone,
            clock_start=ClockStart(clock_start.value),
        ),
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


def _check_pair(name: str, percent: int | None, days: int) -> None:
    """A percentage for no days would hold nothing, and nobody would notice."""
    from alikassa.errors import InvalidInputError

    if bool(percent) is not bool(days):
        raise InvalidInputError(
            f"--{name}-percent and --{name}-days go together: one alone holds nothing.",
            remedy="Give both, or neither.",
        )


@_policy.command(epilog="Example: `alikassa policy show ACCOUNT --all`")
def show(
    account: AccountArgument,
    database: DatabaseOption,
    every: Annotated[bool, typer.Option("--all", help="All versions, the newest first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the terms that new payments come under, or all that the account ever had."""
    from alikassa.ledger.questions.policies import find_policies

    found = on_database(database, lambda opened: find_policies(opened, account))
    if as_json:
        records = [_record(one) for one in found]
        print_json(records if every else next(iter(records), None))
        return
    print_records(
        [_words(one) for one in (found if every else found[:1])],
        as_json=False,
        empty=f"No policy: nothing is taken or held from payments. Set one with: alikassa policy set {account}",
    )


def _words(version: PolicyVersion) -> dict[str, object]:
    return {
        "version": version.version,
        "set by": f"entry {version.sequence}, {version.reference}",
        "at": moment(version.recorded_at),
        **policy_words(version.policy),
    }


def _record(version: PolicyVersion) -> dict[str, object]:
    from alikassa.clock import moment_text
    from alikassa.money import from_units

    policy = version.policy
    return {
        "version": version.version,
        "entry": version.sequence,
        "reference": version.reference,
        "reason": version.reason,
        "recorded_at": moment_text(version.recorded_at),
        "fee_percent": from_units(policy.fee_percent),
        "fee_fixed": from_units(policy.fee_fixed),
        "hold_percent": from_units(policy.hold_percent),
        "hold_days": policy.hold_days,
        "reserve_percent": from_units(policy.reserve_percent),
        "reserve_days": policy.reserve_days,
        "reserve_base": policy.reserve_base.value,
        "time_zone": policy.time_zone,
        "clock_start": policy.clock_start.value,
    }
