"""What a command does to an account: the draft of a journal entry, or a refusal. Pure: no clock, no database."""

from alikassa.ledger.rules.checks import check, check_text
from alikassa.ledger.rules.decide import decide, earlier
from alikassa.ledger.rules.holds import releases

__all__ = ["check", "check_text", "decide", "earlier", "releases"]
