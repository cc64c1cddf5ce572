"""Brings the cabinet's Russian up to date with its templates and code: new words are added empty, old ones removed.

`make catalogue` writes src/alikassa/cabinet/locale/ru.po anew; what is there already stays as it is.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from alikassa.server.requests.remedies import texts

__all__ = ["CATALOGUE", "extracted", "updated"]

CABINET = Path(__file__).parent.parent / "src" / "alikassa"
CATALOGUE = CABINET / "cabinet" / "locale" / "ru.po"
_METHODS = [
    ("cabinet/**.py", "python"),
    ("server/requests/**.py", "python"),
    ("cabinet/templates/**.html", "jinja2"),
]
_OPTIONS = {"cabinet/templates/**.html": {"newstyle_gettext": "true", "trimmed": "false"}}
_NOT_KEPT = tuple(f'"{name}' for name in ("POT-", "PO-", "Report-", "Generated-", "Project-", "Last-", "Language-Team"))
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "mark": None}


def extracted() -> Catalog:
    """Every text of the cabinet, in the order of the files."""
    catalogue = Catalog(locale="ru", charset="utf-8", fuzzy=False, header_comment="# The cabinet's Russian.")
    for path, line, message, comments, _ in extract_from_dir(
        str(CABINET), _METHODS, _OPTIONS, keywords=_KEYWORDS, directory_filter=lambda _: True
    ):
        catalogue.add(message, None, [(path, line)], auto_comments=comments)
    # The server's own, which knows nothing of the cabinet.
    for text in texts():
        catalogue.add(text)
    return catalogue


def updated(extra: list[Path]) -> bytes:
    """The catalogue with what there is of it, and of `extra` files beside it."""
    catalogue = extracted()
    for file in (CATALOGUE, *extra):
        with file.open("rb") as opened:
            for message in read_po(opened, locale="ru"):
                known = catalogue.get(message.id) if message.id else None
                if known is not None and message.string and any(message.string):
                    known.string = message.string
    written = io.BytesIO()
    # Without places: they would change with every line of code.
    write_po(written, catalogue, no_location=True, omit_header=False, width=120, sort_output=False)
    text = written.getvalue().decode()
    kept = [line for line in text.splitlines() if not line.startswith(_NOT_KEPT)]
    return ("\n".join(kept) + "\n").encode()


def main() -> None:
    CATALOGUE.write_bytes(updated([Path(name) for name in sys.argv[1:]]))
    missing = [message.id for message in read_po(CATALOGUE.open("rb")) if message.id and not _is_whole(message.string)]
    print(f"{CATALOGUE.name}: {len(missing)} without a translation")
    for id_ in missing:
        print(f"  {id_ if isinstance(id_, str) else id_[0]}")


def _is_whole(string: object) -> bool:
    return bool(string) and (isinstance(string, str) or all(string))  # type: ignore[arg-type,unused-ignore]


if __name__ == "__main__":
    main()
