"""Telling an alert: to a webhook, and to whatever Apprise reaches. What fails is told by its kind, never by its
address: the address is often the secret."""

from __future__ import annotations

import hashlib
import hmac
import os
import random
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import anyio
import msgspec

from alikassa import clock
from alikassa.errors import ConfigurationError
from alikassa.monitor.decisions import AlertKind

if TYPE_CHECKING:
    from alikassa.monitor.decisions import Alert
    from alikassa.monitor.rules import Rules, Webhook

__all__ = ["AppriseChannel", "Channel", "WebhookChannel", "open_channels", "signature", "title"]

_ATTEMPTS = 3
_ATTEMPT_SECONDS = 10.0
_FIRST_WAIT = 0.5
_APPRISE_SECONDS = 60.0


class Channel(Protocol):
    """Tells an alert. `send` returns None when it was told, else what went wrong, without any secret."""

    name: str

    async def send(self, alert: Alert) -> str | None: ...
    async def close(self) -> None: ...


def open_channels(rules: Rules) -> list[Channel]:
    """The channels that the rules name. Raises ConfigurationError for one that cannot be used."""
    channels: list[Channel] = []
    if rules.webhook is not None:
        channels.append(WebhookChannel(rules.webhook))
    # Each address by itself: one that has an alert is not told again because another one fails.
    channels += [AppriseChannel(place, address) for place, address in enumerate(rules.notify, 1)]
    return channels


def title(alert: Alert) -> str:
    """One line: alikassa shop: low (over)."""
    return f"alikassa {alert.profile}: {alert.rule}{' (over)' if alert.kind is AlertKind.OVER else ''}"


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256, in hexadecimal digits, of timestamp, a dot, and the body."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class WebhookChannel:
    """POSTs an alert as JSON. Anything but a 2xx is tried again, a few times; a redirect is not followed."""

    name = "webhook"

    def __init__(self, webhook: Webhook) -> None:
        import httpcore2

        from alikassa.client.connecting import find_proxy, tls_context

        self._url = webhook.url
        self._secret: bytes | None = None
        if webhook.secret_env is not None:
            secret = os.environ.get(webhook.secret_env)
            if not secret:
                raise ConfigurationError(
                    f"The webhook's secret is to be in {webhook.secret_env}, which is not set.",
                    remedy=f"Set it, or take secret_env out of the rules: export {webhook.secret_env}=...",
                )
            self._secret = secret.encode()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls_context(webhook.ca_bundle), proxy=find_proxy(webhook.url, None), max_connections=2
        )

    async def send(self, alert: Alert) -> str | None:
        body = msgspec.json.encode({"id": alert.id, **msgspec.to_builtins(alert), "title": title(alert)})
        problem: str | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                await anyio.sleep(_FIRST_WAIT * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - no secret
            problem = await self._post(body)
            if problem is None:
                return None
        return problem

    async def _post(self, body: bytes) -> str | None:
        import httpcore2

        timestamp = str(int(clock.now().timestamp()))
        headers = [("Content-Type", "application/json"), ("X-Alikassa-Timestamp", timestamp)]
        if self._secret is not None:
            headers.append(("X-Alikassa-Signature", signature(self._secret, timestamp, body)))
        try:
            with anyio.move_on_after(_ATTEMPT_SECONDS):
                # Its body is of no interest, and may be without an end: closed unread.
                async with self._pool.stream("POST", self._url, headers=headers, content=body) as response:
                    return None if 200 <= response.status < 300 else f"the webhook answered {response.status}"
        except (
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
            httpcore2.ProxyError,
            OSError,
        ) as error:
            return f"the webhook is not reached ({type(error).__name__})"
        return f"the webhook did not answer within {_ATTEMPT_SECONDS:g} s"

    async def close(self) -> None:
        await self._pool.aclose()

    def __repr__(self) -> str:
        return "WebhookChannel()"


class AppriseChannel:
    """Hands an alert to one of Apprise's addresses: mail, chat, telephone.

    Its name is its place in the file. Anything made of the address could give away the secret in it.
    """

    def __init__(self, place: int, address: str) -> None:
        self.name = f"notify {place}"
        if find_spec("apprise") is None:
            raise ConfigurationError(
                "notify needs a package that is not installed (apprise).",
                remedy="Install it with: pip install 'alikassa[monitor]'",
            )
        import logging

        import apprise

        # It logs addresses, shortened where it knows what in them is secret.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        self._apprise = apprise.Apprise()
        # As text: what a server says is not to become a link in a mail.
        self._format = apprise.NotifyFormat.TEXT
        if not self._apprise.add(address) or len(self._apprise) != 1:
            raise ConfigurationError(
                f"Address {place} of notify is not understood, or is several.",
                remedy="Write each as Apprise has it, such as mailtos://user:password@example.org",
            )

    async def send(self, alert: Alert) -> str | None:
        told, problem = False, f"{self.name} failed"
        try:
            with anyio.move_on_after(_APPRISE_SECONDS) as limit:
                told = await anyio.to_thread.run_sync(self._notify, title(alert), alert.text, abandon_on_cancel=True)
            if limit.cancelled_caught:
                problem = f"{self.name} did not end within {_APPRISE_SECONDS:g} s"
        except Exception as error:
            return f"{problem} ({type(error).__name__})"
        return None if told else problem

    def _notify(self, line: str, text: str) -> bool:
        return bool(self._apprise.notify(body=text, title=line, body_format=self._format))

    async def close(self) -> None:
        """Nothing is kept open."""

    def __repr__(self) -> str:
        return f"AppriseChannel({self.name!r})"
