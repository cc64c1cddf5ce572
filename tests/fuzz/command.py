"""What the operator sends: a command's body, of every kind."""

from __future__ import annotations

import uuid

import msgspec

from alikassa.errors import AlikassaError, AmountError, InvalidInputError
from alikassa.ledger.commands import content_hash
from alikassa.ledger.model import Kind
from alikassa.ledger.rules import check as check_command
from alikassa.money import within_bounds
from alikassa.server.operator.bodies import BODIES
from alikassa.server.operator.refusals import malformed, problem_of
from fuzz.oracle import see_refusal

_ACCOUNT = uuid.UUID("93d5df06-996c-48c3-9847-348d6b580b80")
_DECODERS = {kind: msgspec.json.Decoder(body) for kind, body in BODIES.items()}
_KINDS = tuple(BODIES)


def seeds() -> list[bytes]:
    terms = b'{"hold_percent":"5","hold_days":9,"time_zone":"Asia/Tokyo","clock_start":"day_end"}'
    bodies = {
        Kind.PAYMENT: b'{"amount":"10.5","reference":"order-1","metadata":{"a":"b"}}',
        Kind.REFUND: b'{"payment":"order-1","amount":"1","reference":"r","effective_at":"2026-01-31T12:00:00+03:00"}',
        Kind.HOLD_RELEASED: b'{"lot":"17.2","reason":"by hand","reference":"r","amount":"1"}',
        Kind.ADJUSTMENT: b'{"bucket":"balance","amount":"-1","reason":"why","reference":"r","overdraw":true}',
        Kind.REVERSAL: b'{"of_kind":"fee","of":"f","reason":"why","reference":"r"}',
        Kind.PAYOUT_CORRECTED: b'{"payout":"p","to":"paid","reason":"why","reference":"r"}',
        Kind.POLICY_SET: b'{"policy":' + terms + b',"reference":"r"}',
        Kind.PERIOD_CLOSED: b'{"until":"2026-01-31T12:00:00Z","reference":"r"}',
        Kind.OPENING: b'{"balance":"-1","hold":"5",'
        b'"lots":[{"bucket":"hold","amount":"5","due_at":"2027-01-01T00:00:00Z"}],'
        b'"payouts":[{"reference":"p","amount":"7","fee":"1"}],"pending_payouts":"7","reference":"r"}',
    }
    plain = b'{"amount":"1","reason":"why","reference":"r"}'
    return [
        *(bytes([_KINDS.index(kind)]) + body for kind, body in bodies.items()),
        *(bytes([place]) + plain for place in range(len(_KINDS))),
        bytes([_KINDS.index(Kind.PAYMENT)]) + b'{"amount":1.5,"reference":"r"}',
        bytes([_KINDS.index(Kind.PAYMENT)]) + b'{"amount":"1","reference":"r","metadata":' + b"[" * 2000,
    ]


def check(data: bytes) -> None:
    """A command may be kept and has amounts within bounds, or it is refused with a status below 500."""
    kind = _KINDS[data[0] % len(_KINDS)] if data else Kind.PAYMENT
    try:
        body = _DECODERS[kind].decode(data[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        _refused(malformed(error))
        return
    try:
        command = body.command(_ACCOUNT)
        check_command(command)
    except AlikassaError as error:
        assert isinstance(error, AmountError | InvalidInputError)
        _refused(error)
        return
    assert command.kind is kind
    for name in ("amount", "fee", "balance", "hold"):
        amount = getattr(command, name, None)
        assert not isinstance(amount, int) or within_bounds(amount)
    assert content_hash([repr(command)])


def _refused(error: AlikassaError) -> None:
    see_refusal(error)
    problem = problem_of(error)
    assert 400 <= problem.status < 500
    assert msgspec.json.decode(problem.answer.body)
