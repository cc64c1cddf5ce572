"""One request of the cabinet: whose it is, in which language, and what its page is made with."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from litestar.datastructures import Cookie
from litestar.response import Response

from alikassa.cabinet.formats import Formats
from alikassa.cabinet.rendering import rendered
from alikassa.cabinet.sessions import LONGEST, new_token
from alikassa.cabinet.texts import choose_language, translations
from alikassa.cabinet.users import LANGUAGES, Role
from alikassa.errors import NotFoundError
from alikassa.ledger import store

if TYPE_CHECKING:
    import uuid
    from zoneinfo import ZoneInfo

    from litestar import Request

    from alikassa.cabinet.office import Office
    from alikassa.cabinet.sessions import Session
    from alikassa.cabinet.users import User
    from alikassa.ledger.model import Account

__all__ = ["COOKIE", "LANGUAGE_COOKIE", "Visit"]

# The prefix binds it to this very host, over TLS (or this machine), whatever other hosts of the domain set.
COOKIE = "__Host-alikassa"
LANGUAGE_COOKIE = "alikassa-language"
_YEAR = 365 * 24 * 3600


class Visit:
    """Made for each request. `session` is None for somebody who has not logged in."""

    def __init__(self, request: Request[Any, Any, Any], office: Office, token: str, session: Session | None) -> None:
        self.request = request
        self.office = office
        self.session = session
        self._token = token
        self.cookies: list[Cookie] = []
        self.language = self._language()
        self.formats = Formats(self.language)

    def _language(self) -> str:
        if self.session is not None:
            return self.session.user.language
        chosen = self.request.cookies.get(LANGUAGE_COOKIE, "")
        return chosen if chosen in LANGUAGES else choose_language(self.request.headers.get("accept-language", ""))

    @property
    def user(self) -> User:
        """Of a page that only somebody logged in gets to."""
        assert self.session is not None  # noqa: S101 - the routing lets nobody else here
        return self.session.user

    @property
    def address(self) -> str:
        client = self.request.scope.get("client")
        return client[0] if client else ""

    @property
    def user_agent(self) -> str:
        return str(self.request.headers.get("user-agent", ""))

    def gettext(self, text: str, **values: object) -> str:
        found: str = translations(self.language).gettext(text)
        return found % values if values else found

    # Where it is, and where it may go.

    @property
    def path(self) -> str:
        return str(self.request.scope["path"])

    @property
    def here(self) -> str:
        """This page's address, to come back to."""
        query = self.request.scope["query_string"].decode("latin-1")
        return f"{self.path}?{query}" if query else self.path

    def is_at(self, section: str) -> bool:
        return self.path == section or self.path.startswith(f"{section}/")

    def sections(self) -> list[tuple[str, str]]:
        """What the user may open: address and name."""
        if self.user.role is Role.OPERATOR:
            return [
                ("/cabinet/operator", self.gettext("Overview")),
                ("/cabinet/accounts", self.gettext("Accounts")),
                ("/cabinet/merchants", self.gettext("Merchants")),
                ("/cabinet/payouts", self.gettext("Payouts")),
                ("/cabinet/discrepancies", self.gettext("Discrepancies")),
                ("/cabinet/requests", self.gettext("Requests")),
            ]
        return [
            ("/cabinet/accounts", self.gettext("Accounts")),
            ("/cabinet/keys", self.gettext("Keys")),
            ("/cabinet/requests", self.gettext("Requests")),
        ]

    def account_sections(self, account: uuid.UUID) -> list[tuple[str, str]]:
        path = f"/cabinet/accounts/{account}"
        return [
            (path, self.gettext("Overview")),
            (f"{path}/statement", self.gettext("Statement")),
            (f"{path}/requests", self.gettext("Requests")),
            (f"{path}/try", self.gettext("Try it")),
        ]

    # Who may see what.

    async def account(self, account: uuid.UUID) -> Account:
        """NotFoundError when there is none, and also when it is another merchant's: neither is told from the other."""
        async with self.office.desk.database.read() as connection:
            found = await store.find_account(connection, account)
        if found is None or not self.may_see(found.merchant):
            raise NotFoundError(f"There is no account {account}.")
        return found

    def may_see(self, merchant: uuid.UUID) -> bool:
        return self.user.role is Role.OPERATOR or self.user.merchant == merchant

    # Forms: a token that only this browser's cookie leads to.

    @property
    def csrf(self) -> str:
        """What every form of this page carries. Somebody not logged in is given a cookie for it first."""
        if not self._token:
            self.keep_token(new_token())
        return _csrf(self._token)

    def keep_token(self, token: str) -> None:
        """The browser's token from now on: a new one at each login, so that none from before is worth anything."""
        self._token = token
        self.cookies = [one for one in self.cookies if one.key != COOKIE]
        self.cookies.append(
            Cookie(
                COOKIE,
                value=token,
                path="/",
                max_age=int(LONGEST.total_seconds()),
                secure=True,
                httponly=True,
                samesite="lax",
            )
        )

    def drop_token(self) -> None:
        self.keep_token("")
        self.cookies[-1].max_age = 0

    def has_token(self) -> bool:
        return bool(self._token)

    def is_form_ours(self, given: str) -> bool:
        """Whether a form with this token was on a page that this browser got from us."""
        site = self.request.headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none") or not self._token:
            return False
        return hmac.compare_digest(_csrf(self._token).encode(), given.encode())

    # Answers.

    def page(self, template: str, *, status: int = 200, zone: ZoneInfo | None = None, **context: Any) -> Response[str]:
        formats = self.formats if zone is None else self.formats.at(zone)
        text = rendered(
            self.language,
            template,
            {
                "visit": self,
                "language": self.language,
                "zone": formats.zone_name,
                "done": self.request.query_params.get("done", ""),
                **formats.with_(),
                **context,
            },
        )
        return Response(text, status_code=status, media_type="text/html", cookies=self.cookies)

    def go(self, path: str) -> Response[str]:
        """To another page, by GET, after a form was taken."""
        return Response("", status_code=303, headers={"location": path}, media_type="text/plain", cookies=self.cookies)

    def keep_language(self, language: str) -> None:
        self.cookies.append(
            Cookie(
                LANGUAGE_COOKIE,
                value=language,
                path="/cabinet",
                max_age=_YEAR,
                secure=True,
                httponly=True,
                samesite="lax",
            )
        )


def _csrf(token: str) -> str:
    # One way: what a page shows does not lead back to the cookie.
    digest = hmac.digest(token.encode(), b"alikassa cabinet form", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
