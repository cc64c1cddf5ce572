"""What the client makes of any other answer: status, headers and a body that somebody else wrote."""

from __future__ import annotations

from alikassa.client.answers import server_request_id, understand
from alikassa.errors import AlikassaError, ProtocolError, RefusedError, ServerError
from fuzz.oracle import see_refusal

STATUSES = (200, 204, 301, 400, 401, 403, 404, 418, 422, 429, 500, 503, 599)
# Twenty fields of twenty texts of 500 characters are told.
_LONGEST = 500_000


def seeds() -> list[bytes]:
    bodies = (
        b'{"message":"The given data was invalid.","errors":{"sign":["Sign is invalid."]}}',
        b'{"message":"m","errors":{"timestamp":"off","nonce":["used",5,null,{"a":[1.5]}]}}',
        b'{"message":5,"errors":[]}',
        b'{"errors":{"a":' + b"[" * 300 + b"]" * 300 + b"}}",
        b'{"errors":{"a":' + b"9" * 4000 + b"}}",
        b"<html>503</html>",
        b"",
    )
    headers = (b"Wed, 21 Oct 2015 07:28:00 GMT", b"120", b"-1", b"Mon, 99 Foo 99999 99:99:99 +9999", b"")
    return [
        bytes([place]) + headers[(place + more) % len(headers)] + b"\n" + text
        for place in range(len(STATUSES))
        for more, text in enumerate(bodies)
    ]


def check(data: bytes) -> None:
    """It is an error of ours with something to read; how long to wait is no nonsense."""
    first, _, body = data.partition(b"\n")
    status = STATUSES[first[0] % len(STATUSES)] if first else 400
    header = first[1:].decode("latin-1")
    headers = {"retry-after": header, "date": header[::2], "content-type": header, "x-request-id": header}
    try:
        understand(status, headers, body)
    except AlikassaError as error:
        see_refusal(error, longest=_LONGEST)
        assert isinstance(error, ProtocolError | RefusedError | ServerError)
        assert str(error).isprintable()
        assert error.remedy.isprintable()
        wait = getattr(error, "retry_after", None)
        assert wait is None or wait >= 0
    else:
        assert status == 200
    seen = server_request_id(headers)
    assert len(seen) <= 128
    assert seen.isprintable() or not seen
