"""Keeping `Sign` out of what is told, also where a server, or a library that quotes it, repeats what it was sent."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alikassa.client.wire import Incoming, Secret

__all__ = ["Cover"]

# Shorter runs of a signature's letters could stand in a text by chance.
_SHORTEST = 8
_COVER = "<sign>"
# What stands between the runs: as it is, with PHP's backslash, as JSON may escape it, as a URL does.
_SPELLINGS = {"+": r"(?:\+|\\u002[bB]|%2[bB])", "/": r"(?:\\?/|\\u002[fF]|%2[fF])", "=": r"(?:=|\\u003[dD]|%3[dD])"}


class Cover:
    """Puts `<sign>` in the place of one `Sign`, and of any longer piece of it.

    Base64 is runs of letters and digits with +, / and = between them. Only these three are ever escaped, and each
    writer does it in its own way, so that the runs alone are looked for, too.
    """

    def __init__(self, sign: Secret) -> None:
        self._sign = sign

    def text(self, text: str) -> str:
        if not any(run in text for run in self._runs()):
            return text
        whole = "".join(_SPELLINGS.get(character, character) for character in self._sign.reveal())
        text = re.sub(whole, _COVER, text)
        for run in self._runs():
            text = text.replace(run, _COVER)
        return text

    def _runs(self) -> list[str]:
        return [run for run in re.split(r"[+/=]", self._sign.reveal()) if len(run) >= _SHORTEST]

    def answer(self, incoming: Incoming) -> Incoming:
        """The answer without it, in its headers and its body."""
        # Latin-1: byte for byte, whatever the body is.
        body = self.text(incoming.body.decode("latin-1")).encode("latin-1")
        headers = incoming.headers
        if self.text(" ".join(headers.values())) != " ".join(headers.values()):
            headers = {name: self.text(value) for name, value in headers.items()}
        if body == incoming.body and headers is incoming.headers:
            return incoming
        return replace(incoming, headers=headers, body=body)

    def error(self, error: BaseException) -> None:
        """Take it out of an error's texts, and of those of its causes."""
        pending, seen = [error], set()
        while pending:
            one = pending.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            one.args = tuple(self.text(part) if isinstance(part, str) else part for part in one.args)
            # Some libraries' errors hold another as their text.
            pending += [part for part in (*one.args, one.__cause__, one.__context__) if isinstance(part, BaseException)]
