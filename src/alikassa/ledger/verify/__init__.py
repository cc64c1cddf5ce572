"""Whether the books are true: everything that they say, worked out again from the journal."""

from alikassa.ledger.verify.heads import Head, Heads, format_heads, parse_heads, read_heads
from alikassa.ledger.verify.past import PastVerification, last_verification, note_verification
from alikassa.ledger.verify.problems import Problem
from alikassa.ledger.verify.verification import Progress, Verified, verify

__all__ = [
    "Head",
    "Heads",
    "PastVerification",
    "Problem",
    "Progress",
    "Verified",
    "format_heads",
    "last_verification",
    "note_verification",
    "parse_heads",
    "read_heads",
    "verify",
]
