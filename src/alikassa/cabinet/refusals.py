"""What a person sees instead of a page: what happened, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.exceptions import HTTPException
from litestar.response import Response

from alikassa.cabinet.rendering import rendered
from alikassa.cabinet.texts import choose_language, mark
from alikassa.cabinet.users import LANGUAGES
from alikassa.errors import AlikassaError, DatabaseError, InvalidInputError, NotFoundError, OverloadedError
from alikassa.server.operator.refusals import RequestError

if TYPE_CHECKING:
    from litestar import Request

__all__ = [
    "NO_COOKIE",
    "STALE_FORM",
    "UNREADABLE_COOKIE",
    "ForbiddenError",
    "FormError",
    "UnfinishedError",
    "refuse",
]


class ForbiddenError(AlikassaError):
    """The user's role does not let them do this."""

    def __init__(self) -> None:
        super().__init__("This is not for your role.")


class FormError(AlikassaError):
    """A form that did not come from a page of ours in this browser, or from one that is too old."""

    def __init__(self, told: tuple[str, str]) -> None:
        super().__init__("The form is not from this session.")
        self.told = told


class UnfinishedError(AlikassaError):
    """A form of which not everything came."""

    def __init__(self) -> None:
        super().__init__("The form did not arrive.")


_TEXTS = {
    400: (mark("This cannot be taken as it is."), mark("Go back and check what you entered.")),
    403: (
        mark("This is not for your role."),
        mark("Ask an owner of your merchant's account, who may change keys, or the operator."),
    ),
    404: (
        mark("There is nothing here."),
        mark("The address may be wrong, or what it names may be of another merchant. Start from the accounts."),
    ),
    405: (mark("There is nothing here."), mark("Start from the accounts.")),
    408: (mark("The form did not arrive whole."), mark("Nothing was changed. Send it again.")),
    411: (mark("How long it is was not said."), mark("Send it from its page, with a browser.")),
    413: (mark("This is too large."), mark("Send at most one megabyte.")),
    500: (
        mark("Something went wrong here."),
        mark("Nothing was changed that you were not told of. Try again; the operator's log has the details."),
    ),
    503: (
        mark("The books cannot be reached at the moment."),
        mark("Nothing is wrong with what you did. Try again in a moment."),
    ),
}
_TOO_MUCH = (
    mark("Too much is asked for at this moment."),
    mark("Nothing is wrong with what you did. Try again in a moment."),
)
#: What a FormError tells: the form's own fault, or that of the cookie that goes with it.
STALE_FORM = (
    mark("This form is too old, or from another session."),
    mark("Nothing was changed. Open the page again and send the form from there."),
)
NO_COOKIE = (
    mark("Your browser did not keep our cookie, so nobody can be logged in."),
    mark("Allow cookies for this site, and open it over https:// (or on the machine itself, as http://localhost)."),
)
UNREADABLE_COOKIE = (
    mark("A cookie that your browser sent cannot be read, and ours is beside it."),
    mark("Another site on this domain has set it, with letters that are not Latin. Delete the cookies of this domain."),
)


def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    """The page for what was not done. A defect of ours is told to the log alone."""
    status, (message, remedy) = _told(error)
    desk = request.app.state.get("desk")
    if status == 500 and desk is not None:
        desk.log.failed(request.method, request.url.path, error)
    if isinstance(error, DatabaseError) and desk is not None:
        desk.log.database_failed(error)
    chosen = request.cookies.get("alikassa-language", "")
    language = chosen if chosen in LANGUAGES else choose_language(request.headers.get("accept-language", ""))
    headers = {"retry-after": "1"} if status == 503 else {}
    if isinstance(error, RequestError):
        headers |= error.headers
    if isinstance(error, HTTPException) and status == 405:
        # The methods that there are.
        headers |= {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    text = rendered(
        language, "refused.html", {"language": language, "message": message, "remedy": remedy, "status": status}
    )
    return Response(text, status_code=status, media_type="text/html", headers=headers)


def _told(error: Exception) -> tuple[int, tuple[str, str]]:
    if isinstance(error, FormError):
        return 403, error.told
    if isinstance(error, OverloadedError):
        return 503, _TOO_MUCH
    if isinstance(error, ForbiddenError):
        status = 403
    elif isinstance(error, UnfinishedError):
        status = 408
    elif isinstance(error, RequestError) and error.status in _TEXTS:
        status = error.status
    elif isinstance(error, NotFoundError):
        status = 404
    elif isinstance(error, InvalidInputError):
        status = 400
    elif isinstance(error, DatabaseError):
        status = 503
    elif isinstance(error, HTTPException):
        status = error.status_code if error.status_code in _TEXTS else 400 if error.status_code < 500 else 500
    else:
        status = 500
    return status, _TEXTS[status]
