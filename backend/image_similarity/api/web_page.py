"""The web page: the files that `npm run build` wrote into the package."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from image_similarity.api.errors import ProblemError

FOLDER = Path(__file__).parent.parent / "web"

PAGES = ("/", "/library", "/status", "/jobs/{upload}")
"""Paths that the page routes itself; every other path is a file, the API's, or a mistake."""

HEADERS = {
    # Nothing external, nothing inline: text in an image's metadata cannot become a script.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Vary": "Accept-Encoding",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_EACH_TIME = "no-cache"

_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""The files were compressed when the page was built; the first encoding that a browser accepts is sent."""

_NOT_BUILT = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Image Similarity Engine</title>
<h1>The web page is not built yet</h1>
<p>The server runs, and the API is under <code>/api/v1</code>. The page is built by <code>./scripts/run.sh</code>, or by
<code>cd frontend &amp;&amp; npm ci &amp;&amp; npm run build</code>, with Node 18 or newer; then start the server again.
A wheel of a release carries it.</p>
</html>
"""


@dataclass(frozen=True, slots=True)
class _File:
    media_type: str
    cache_control: str
    bodies: dict[str, bytes]
    """By content encoding; the empty string is the uncompressed file."""
    etag: str


def install(app: FastAPI, folder: Path = FOLDER) -> None:
    """Add the page's routes. The files are read once, so a request's path never touches the file system."""
    files = _read(folder)
    index = files.get("/index.html")

    async def page(request: Request) -> Response:
        if index is None:
            return Response(_NOT_BUILT, 503, media_type="text/html", headers={"Cache-Control": "no-store"})
        return _answer(request, index)

    async def file(request: Request) -> Response:
        found = files.get(request.url.path)
        if found is None:
            raise ProblemError(404, "not_found", f"Not Found: {request.url.path}")
        return _answer(request, found)

    otherwise = app.router.default

    async def missing(scope: Scope, receive: Receive, send: Send) -> None:
        """Send a browser the page, which shows that there is no such page; send programs a problem document."""
        if index is None or not _opened_by_a_person(scope):
            await otherwise(scope, receive, send)
            return
        await _answer(Request(scope), index, status=404)(scope, receive, send)

    app.router.default = missing
    app.router.routes.extend(Route(path, page, methods=["GET"]) for path in PAGES)
    app.router.routes.extend(Route(path, file, methods=["GET"]) for path in ("/assets/{name}", "/favicon.svg"))


def _opened_by_a_person(scope: Scope) -> bool:
    """Return whether a browser requests a page to show, and not a file of the page or the API."""
    if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
        return False
    if str(scope["path"]).startswith(("/api/", "/assets/")):
        return False
    return "text/html" in Headers(scope=scope).get("accept", "")


def _read(folder: Path) -> dict[str, _File]:
    """Return the built files by their URL paths; none if the page was not built."""
    files = {}
    for path in folder.rglob("*") if folder.is_dir() else ():
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or path.suffix in _ENCODINGS.values():
            continue
        address = f"/{path.relative_to(folder).as_posix()}"
        body = path.read_bytes()
        compressed = {name: Path(f"{path}{suffix}") for name, suffix in _ENCODINGS.items()}
        files[address] = _File(
            media_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            # Names under assets/ contain a hash of the content.
            cache_control=_FOR_EVER if address.startswith("/assets/") else _ASK_EACH_TIME,
            bodies={"": body} | {name: other.read_bytes() for name, other in compressed.items() if other.is_file()},
            etag=sha256(body).hexdigest()[:32],
        )
    return files


def _answer(request: Request, file: _File, *, status: int = 200) -> Response:
    encoding = _encoding(request.headers.get("accept-encoding", ""), file)
    # One ETag per encoding, because the bytes differ.
    etag = f'"{file.etag}{encoding and "-"}{encoding}"'
    headers = {**HEADERS, "Cache-Control": file.cache_control, "ETag": etag}
    if status == 200 and etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if encoding:
        headers["Content-Encoding"] = encoding
    return Response(file.bodies[encoding], status, media_type=file.media_type, headers=headers)


def _encoding(accepted: str, file: _File) -> str:
    """Return the best encoding of a file that a browser accepts; `br;q=0` refuses it."""
    wanted = {
        name.strip()
        for name, _, weight in (item.partition(";") for item in accepted.split(","))
        if weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    }
    return next((name for name in _ENCODINGS if name in wanted and name in file.bodies), "")
