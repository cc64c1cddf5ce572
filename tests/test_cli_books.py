"""The books on the command line: the exact calls that scripts rely on, amounts, references, refusals."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import REFUSED, USAGE, call, complaint, printed
from conftest import PAGE_ACCOUNT, cli_json, run_cli

BUCKETS = ("balance", "hold", "rolling_reserve", "pending_payouts")
UNKNOWN = "ffffffff-ffff-4fff-bfff-ffffffffffff"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Books with a merchant's account, the page's."""
    return f"sqlite:///{tmp_path_factory.mktemp('books') / 'books.db'}"


@pytest.fixture(scope="module")
def merchant(database: str) -> str:
    return str(printed("merchant", "add", "Shop", "--database", database)["merchant"])


@pytest.fixture
def account(database: str, merchant: str) -> str:
    """A new account with nothing on it."""
    opened = printed("account", "open", "--merchant", merchant, "--currency", "RUB", "--database", database)
    return str(opened["account"])


def adjust(
    database: str,
    account: str,
    amount: str,
    *,
    bucket: str = "balance",
    reference: str = "first",
    reason: str = "opening balance",
) -> tuple[str, ...]:
    """The call that books an adjustment."""
    entry = ("--bucket", bucket, "--amount", amount, "--reference", reference, "--reason", reason)
    return ("account", "adjust", account, *entry, "--database", database)


def numbers(database: str, account: str) -> dict[str, str]:
    """The four numbers of an account, as `account list` shows them."""
    (shown,) = [listed for listed in printed("account", "list", "--database", database) if listed["account"] == account]
    return {bucket: shown[bucket] for bucket in BUCKETS}


# The exact calls


def test_scripts_can_open_an_account_and_bring_it_to_the_pages_numbers(
    archives: Callable[[str], Path], tmp_path: Path
) -> None:
    """The calls of the documentation, in processes of their own, lead to the numbers of the page."""
    database = f"sqlite:///{tmp_path / 'books.db'}"
    public = archives("payout") / "public.pem"
    merchant = cli_json("merchant", "add", "Shop", "--database", database)["merchant"]
    added = cli_json(
        "certificate", "add", "--merchant", merchant, "--purpose", "payout", public, "--database", database
    )
    opened = cli_json(
        "account",
        "open",
        "--merchant",
        merchant,
        "--currency",
        "RUB",
        "--uuid",
        PAGE_ACCOUNT,
        "--database",
        database,
    )
    booked = [
        run_cli(*adjust(database, PAGE_ACCOUNT, amount, bucket=bucket, reference=bucket)).returncode
        for bucket, amount in (("balance", "93.84"), ("pending_payouts", "1234"))
    ]
    assert added["certificate"]
    assert opened["account"] == PAGE_ACCOUNT
    assert booked == [0, 0]
    assert numbers(database, PAGE_ACCOUNT) == {
        "balance": "93.84000000",
        "hold": "0.00000000",
        "rolling_reserve": "0.00000000",
        "pending_payouts": "1234.00000000",
    }


def test_relative_url_is_relative_to_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sqlite:///books.db is the file books.db of the folder one is in."""
    monkeypatch.chdir(tmp_path)
    call("merchant", "add", "Shop", "--database", "sqlite:///books.db")
    assert (tmp_path / "books.db").is_file()


def test_database_comes_from_the_environment(database: str, merchant: str) -> None:
    """ALIKASSA_DATABASE stands in for --database."""
    listed = printed("certificate", "list", "--merchant", merchant, env={"ALIKASSA_DATABASE": database})
    assert listed == []


def test_database_option_wins_over_the_environment(database: str, merchant: str, tmp_path: Path) -> None:
    """With --database the environment's database is not even looked at."""
    elsewhere = {"ALIKASSA_DATABASE": f"sqlite:///{tmp_path / 'elsewhere.db'}"}
    assert call("account", "list", "--database", database, env=elsewhere).returncode == 0
    assert not (tmp_path / "elsewhere.db").exists()


@pytest.mark.parametrize("bucket", BUCKETS)
def test_each_bucket_can_be_adjusted(database: str, account: str, bucket: str) -> None:
    """An adjustment changes the bucket it names by its amount, and no other."""
    printed(*adjust(database, account, "12.5", bucket=bucket))
    nothing = dict.fromkeys(BUCKETS, "0.00000000")
    assert numbers(database, account) == nothing | {bucket: "12.50000000"}


def test_russian_reason_is_kept(database: str, account: str) -> None:
    """A reason in Russian is in the books as it was written."""
    reason = "Возврат: «ошибка в счёте» №1"
    printed(*adjust(database, account, "1", reason=reason))
    connection = sqlite3.connect(database.removeprefix("sqlite:///"))
    kept = "\n".join(connection.iterdump())
    connection.close()
    assert reason in kept


def test_russian_name_is_kept(database: str) -> None:
    """A merchant's name in Russian comes back from the JSON as it was given."""
    assert cli_json("merchant", "add", "Лавка", "--database", database)["name"] == "Лавка"


def test_messages_go_to_stderr_when_json_is_asked_for(database: str, account: str) -> None:
    """With --json stdout is one JSON value, and a success says nothing on stderr."""
    done = call(*adjust(database, account, "1"), "--json")
    assert json.loads(done.stdout)["account"] == account
    assert done.stderr == ""


# Amounts


@pytest.mark.parametrize(
    ("amount", "becomes"),
    [
        ("93.84", "93.84000000"),
        ("0.00000001", "0.00000001"),
        ("1.10000000", "1.10000000"),
        ("007", "7.00000000"),
        ("999999999999999999.99999999", "999999999999999999.99999999"),
    ],
)
def test_amount_is_exact(database: str, account: str, amount: str, becomes: str) -> None:
    """An amount is booked to its last digit, and shown with eight decimals."""
    printed(*adjust(database, account, amount))
    assert numbers(database, account)["balance"] == becomes


NO_AMOUNTS = [
    "0.123456789",
    "1.000000000",
    "NaN",
    "Infinity",
    "-inf",
    "1e3",
    "1E-2",
    "1000000000000000000",
    "-1000000000000000000",
    "9" * 5000,
    "0",
    "-0.00",
    "1_000",
    "1,5",
    "1 000",
    "+1",
    " 1",
    "1 ",
    "1\n",
    "",
    ".",
    "-",
    "--1",
    "1.",
    ".5",
    "0x10",
    "١",
    "１",
    "½",
    "$1",
]


@pytest.mark.parametrize("amount", [pytest.param(amount, id=repr(amount[:20])) for amount in NO_AMOUNTS])
def test_what_is_no_amount_is_refused(database: str, account: str, amount: str) -> None:
    """What is not a number in plain digits, other than 0, below 10^18 and of at most 8 decimals, exits with 2."""
    complaint(USAGE, *adjust(database, account, amount))


def test_refused_amount_books_nothing(database: str, account: str) -> None:
    """After a refused amount the account stands where it stood, and the reference is free."""
    complaint(USAGE, *adjust(database, account, "1e3"))
    printed(*adjust(database, account, "5"))
    assert numbers(database, account)["balance"] == "5.00000000"


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0.123456789", ["0.123456789", "9 decimals", "8"]),
        ("NaN", ["'NaN'", "digits"]),
        ("1e3", ["'1e3'", "digits"]),
        ("1000000000000000000", ["10^18"]),
        ("0", ["0"]),
    ],
)
def test_refused_amount_is_explained(database: str, account: str, amount: str, said: list[str]) -> None:
    """The message repeats the amount or names the bound, so that one sees what to change."""
    message = complaint(USAGE, *adjust(database, account, amount))
    assert [words for words in said if words not in message] == []


@pytest.mark.parametrize("form", [["--amount", "-3"], ["--amount=-3"]], ids=["two words", "one word"])
def test_negative_amount_is_drawn(database: str, account: str, form: list[str]) -> None:
    """An amount with a minus is taken for the amount and not for an option, and lowers the bucket."""
    printed(*adjust(database, account, "10"))
    entry = ("--bucket", "balance", *form, "--reference", "second", "--reason", "draw")
    printed("account", "adjust", account, *entry, "--database", database)
    assert numbers(database, account)["balance"] == "7.00000000"


def test_bucket_is_not_drawn_below_zero(database: str, account: str) -> None:
    """Drawing more than a bucket holds is refused with 4, and the message says what was asked for and what is there."""
    printed(*adjust(database, account, "10.25", bucket="hold"))
    said = complaint(REFUSED, *adjust(database, account, "-10.26", bucket="hold", reference="second"))
    assert [words for words in ("hold", "10.25", "10.26", "RUB") if words not in said] == []


def test_bucket_can_be_drawn_to_zero(database: str, account: str) -> None:
    """All that a bucket holds may be drawn."""
    printed(*adjust(database, account, "10.25", bucket="hold"))
    printed(*adjust(database, account, "-10.25", bucket="hold", reference="second"))
    assert numbers(database, account)["hold"] == "0.00000000"


def test_total_stays_below_the_bound(database: str, account: str) -> None:
    """An adjustment that would bring a bucket to 10^18 is refused by the books (4), and the bucket is named."""
    printed(*adjust(database, account, "999999999999999999", bucket="hold"))
    assert "hold" in complaint(REFUSED, *adjust(database, account, "1", bucket="hold", reference="second"))


# References


def test_repeated_adjustment_is_booked_once(database: str, account: str) -> None:
    """The same reference with the same content succeeds again, gives the first entry, and books nothing."""
    first = printed(*adjust(database, account, "5"))
    second = printed(*adjust(database, account, "5"))
    assert (second["entry"], numbers(database, account)["balance"]) == (first["entry"], "5.00000000")


def test_repetition_may_spell_the_amount_otherwise(database: str, account: str) -> None:
    """5 and 5.00 are the same content."""
    first = printed(*adjust(database, account, "5"))
    assert printed(*adjust(database, account, "5.00"))["entry"] == first["entry"]


def test_repetition_succeeds_when_the_money_has_gone(database: str, account: str) -> None:
    """A draw that was booked is not refused when it is repeated, though the bucket is empty by now."""
    printed(*adjust(database, account, "5"))
    draw = adjust(database, account, "-5", reference="second")
    assert printed(*draw)["entry"] == printed(*draw)["entry"]


OTHER = {"amount": ("6", {}), "bucket": ("5", {"bucket": "hold"}), "reason": ("5", {"reason": "another"})}


@pytest.mark.parametrize("changed", list(OTHER))
def test_reference_with_other_content_is_refused(database: str, account: str, changed: str) -> None:
    """A reference that is taken by another content is refused with 4, named, and nothing is booked."""
    printed(*adjust(database, account, "5", reference="invoice-17"))
    before = numbers(database, account)
    amount, options = OTHER[changed]
    said = complaint(REFUSED, *adjust(database, account, amount, reference="invoice-17", **options))
    assert "invoice-17" in said
    assert numbers(database, account) == before


def test_reference_is_the_accounts_own(database: str, merchant: str, account: str) -> None:
    """Two accounts may use the same reference."""
    opened = printed("account", "open", "--merchant", merchant, "--currency", "RUB", "--database", database)
    printed(*adjust(database, account, "5"))
    assert call(*adjust(database, str(opened["account"]), "7")).returncode == 0


def test_refusal_leaves_the_reference_free(database: str, account: str) -> None:
    """A reference whose adjustment was refused can be used when the money is there."""
    complaint(REFUSED, *adjust(database, account, "-5", reference="draw"))
    printed(*adjust(database, account, "5"))
    assert call(*adjust(database, account, "-5", reference="draw")).returncode == 0


@pytest.mark.parametrize("field", ["reference", "reason"])
@pytest.mark.parametrize("text", ["", "x" * 5000, "two\nlines", "nul\x1b"], ids=["empty", "long", "lines", "control"])
def test_text_that_cannot_be_kept_is_refused(database: str, account: str, field: str, text: str) -> None:
    """A reference or reason that is empty, endless or not printable exits with 2, and is named."""
    said = complaint(USAGE, *adjust(database, account, "5", **{field: text}))
    assert field in said


# Accounts


def test_unknown_account_is_refused(database: str, merchant: str) -> None:
    """An adjustment of an account that is not in the books exits with 4, and repeats its uuid."""
    assert UNKNOWN in complaint(REFUSED, *adjust(database, UNKNOWN, "5"))


@pytest.mark.parametrize("wrong", ["nonsense", f"{{{PAGE_ACCOUNT}}}", PAGE_ACCOUNT[:-1], ""])
def test_malformed_account_is_refused(database: str, merchant: str, wrong: str) -> None:
    """A uuid that is none exits with 2, and is repeated."""
    assert wrong in complaint(USAGE, *adjust(database, wrong, "5"))


def test_account_is_opened_once(database: str, merchant: str, account: str) -> None:
    """A uuid that is taken is refused with 4, and named."""
    again = ("account", "open", "--merchant", merchant, "--currency", "RUB", "--uuid", account, "--database", database)
    assert account in complaint(REFUSED, *again)


def test_uuid_in_upper_case_is_the_same_account(database: str, account: str) -> None:
    """An account's uuid may be written in capitals."""
    assert printed(*adjust(database, account.upper(), "5"))["account"] == account


@pytest.mark.parametrize("currency", ["", "rub", "R", "RUB ", "РУБ", "DROP TABLE"])
def test_what_is_no_currency_is_refused(database: str, merchant: str, currency: str) -> None:
    """A currency that is not written in capital Latin letters exits with 2."""
    opening = ("account", "open", "--merchant", merchant, "--currency", currency, "--database", database)
    complaint(USAGE, *opening)


@pytest.mark.parametrize("name", ["", "x" * 5000, "two\nlines"], ids=["empty", "long", "lines"])
def test_merchants_name_that_cannot_be_kept_is_refused(database: str, name: str) -> None:
    """A merchant's name that is empty, endless or of several lines exits with 2."""
    complaint(USAGE, "merchant", "add", name, "--database", database)


def test_list_is_the_merchants_own(database: str, account: str) -> None:
    """`account list --merchant` leaves out the accounts of others."""
    other = printed("merchant", "add", "Other", "--database", database)["merchant"]
    assert printed("account", "list", "--merchant", other, "--database", database) == []
