"""Styles, scripts and pictures: local files, under addresses that change with their content."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from litestar import Request, get
from litestar.response import Response

__all__ = ["asset_url", "serve_asset"]

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@cache
def _assets() -> dict[str, tuple[str, bytes]]:
    """Every file that there is, read once: nothing of a request ever names a path on the disk."""
    return {
        path.relative_to(_FOLDER).as_posix(): (_TYPES[path.suffix], path.read_bytes())
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _TYPES
    }


@cache
def asset_url(name: str) -> str:
    _, content = _assets()[name]
    return f"/cabinet/static/{hashlib.sha256(content).hexdigest()[:12]}/{name}"


@get("/static/{version:str}/{name:path}", name="asset", opt={"public": True})
async def serve_asset(request: Request[Any, Any, Any]) -> Response[bytes]:
    version, name = request.path_params["version"], str(request.path_params["name"]).removeprefix("/")
    found = _assets().get(name)
    if found is None:
        return Response(b"", status_code=404, media_type="text/plain")
    kind, content = found
    # An address of another version is answered too, while a page of before is still open; it is not kept then.
    current = asset_url(name).split("/")[3] == version
    headers = {"cache-control": "public, max-age=31536000, immutable"} if current else {}
    return Response(content, media_type=kind, headers=headers)
