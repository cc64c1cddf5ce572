"""Telling what happens: to the program's hook, and to the logger `alikassa`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alikassa.client.events import AttemptFailed, DigestChosen, Event, RequestAnswered, RequestStarted
from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Reporter"]

_log = logging.getLogger("alikassa")


class Reporter:
    """Tells events. Whatever a hook raises, the call goes on; the first time is logged as a warning."""

    def __init__(self, hook: Callable[[Event], object] | None) -> None:
        if hook is not None and not callable(hook):
            raise ConfigurationError("on_event cannot be called.", remedy="Give a function of one argument, the event.")
        self._hook = hook
        self._hook_failed = False

    def tell(self, event: Event) -> None:
        _write(event)
        if self._hook is None:
            return
        try:
            self._hook(event)
        except Exception:
            if not self._hook_failed:
                self._hook_failed = True
                _log.warning("on_event raised, which is told once; the call goes on", exc_info=True)


def _write(event: Event) -> None:
    """Ids, numbers and names: what the server wrote stays out of the log."""
    match event:
        case RequestStarted():
            _log.debug("request %s: asking for account %s at %s", event.request_id, event.account, event.url)
        case AttemptFailed(wait=None):
            _log.debug(
                "request %s: attempt %d failed after %.3f s with %s, and was the last",
                event.request_id,
                event.attempt,
                event.seconds,
                _name(event),
            )
        case AttemptFailed():
            _log.info(
                "request %s: attempt %d failed after %.3f s with %s; the next in %.3f s",
                event.request_id,
                event.attempt,
                event.seconds,
                _name(event),
                event.wait,
            )
        case RequestAnswered():
            _log.debug(
                "request %s: answered %d after %.3f s and %d attempts%s",
                event.request_id,
                event.status,
                event.seconds,
                event.attempts,
                f", the server calls it {event.server_request_id}" if event.server_request_id else "",
            )
        case DigestChosen():
            _log.info("request %s: the server takes %s, which is used from now on", event.request_id, event.digest)


def _name(event: AttemptFailed) -> str:
    status = getattr(event.error, "status", None)
    return f"{type(event.error).__name__}{'' if status is None else f' ({status})'}"
