"""The API's own description, and Swagger UI to read it; all from files of the package."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from gristmill.errors import NotFound
from gristmill.web import render
from gristmill.web.endpoints import Table

__all__ = ["table"]

table = Table("Documentation")

_STATIC = Path(__file__).resolve().parent.parent / "static"
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "docs.css": "text/css; charset=utf-8",
    "favicon.png": "image/png",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@table.add("GET", "/docs", allow="public", operation_id="docs", summary="Read the API", answer="text/html")
async def page() -> Response:
    """Swagger UI."""
    return HTMLResponse((_STATIC / "docs.html").read_text("utf-8"), headers=_HEADERS)


@table.add(
    "GET",
    "/docs/{asset}",
    allow="public",
    operation_id="docsAsset",
    summary="A file of the page",
    answer="text/plain",
)
async def file(asset: str) -> Response:
    """Scripts and styles."""
    if asset not in _ASSETS:
        raise NotFound(f"there is no page {asset!r}")
    return FileResponse(_STATIC / asset, media_type=_ASSETS[asset], headers=_HEADERS)


@table.add(
    "GET",
    "/openapi.json",
    allow="public",
    operation_id="openapi",
    summary="This document",
    answer=dict[str, object],
)
async def openapi(request: Request) -> Response:
    """OpenAPI 3.1."""
    return render.json(request.app.openapi())
