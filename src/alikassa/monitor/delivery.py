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
    if rules.notify:
        channels.append(AppriseChannel(rules.notify))
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
    """Hands an alert to Apprise: mail, chat, telephone."""

    name = "notify"

    def __init__(self, addresses: tuple[str, ...]) -> None:
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
        for place, address in enumerate(addresses, 1):
            if not self._apprise.add(address):
                raise ConfigurationError(
                    f"Address {place} of notify is not understood.",
                    remedy="Write it as Apprise has it, such as mailtos://user:password@example.org",
                )

    async def send(self, alert: Alert) -> str | None:
        try:
            told = await anyio.to_thread.run_sync(self._notify, title(alert), alert.text, abandon_on_cancel=True)
        except Exception as error:
            return f"notify failed ({type(error).__name__})"
        return None if told else "notify failed for at least one address"

    def _notify(self, line: str, text: str) -> bool:
        return bool(self._apprise.notify(body=text, title=line))

    async def close(self) -> None:
        """Nothing is kept open."""

    def __repr__(self) -> str:
        return "AppriseChannel()"
