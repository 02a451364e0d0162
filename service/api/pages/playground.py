"""`/`: the playground, a page that uses this service. Its files are in `service/web`.

The page is the only file that may change under its address. All others are under a path that contains the digest of
all, so browsers keep them forever.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from service.http import etags
from service.http.front import compression

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent.parent.parent / "web"
PAGE = "index.html"

MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""What is served, by the suffix of the file. Others are tools for the page's authors."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page: no script of anybody else runs, and nothing is sent elsewhere."""


@dataclass(frozen=True)
class File:
    """A file of the page.

    Attributes:
        media_type: of its content.
        content: as it is.
        compressed: by gzip. Small files too, because a first visit fetches some forty of them.
    """

    media_type: str
    content: bytes
    compressed: bytes

    def response(self, request: Request, headers: dict[str, str]) -> Response:
        """The file as the client prefers it."""
        headers |= {"Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
        if compression.is_preferred(request.headers.get("accept-encoding", "").encode("latin-1")):
            headers |= {"Content-Encoding": "gzip"}
            return Response(self.compressed, headers=headers, media_type=self.media_type)
        return Response(self.content, headers=headers, media_type=self.media_type)


def _file(path: str, content: bytes) -> File:
    return File(MEDIA_TYPES[Path(path).suffix], content, gzip.compress(content, mtime=0))


@cache
def _contents() -> dict[str, bytes]:
    """The content of each file by its path below the folder. Requests are looked up here, never on the disk."""
    paths = [path for path in sorted(FOLDER.rglob("*")) if path.suffix in MEDIA_TYPES]
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in paths}


@cache
def _digest() -> str:
    return hashlib.sha256(b"".join(_contents().values())).hexdigest()[:16]


@cache
def _files() -> dict[str, File]:
    """All files. The page refers to the others by their path with the digest, relative to its own address."""
    names = [name for name in _contents() if name != PAGE]
    page = _contents()[PAGE].decode()
    for name in names:
        page = page.replace(f'"{name}"', f'"page/{_digest()}/{name}"')
    return {PAGE: _file(PAGE, page.encode())} | {name: _file(name, _contents()[name]) for name in names}


@router.get("/")
def get_page(request: Request) -> Response:
    """The page."""
    tag = f'"{_digest()}"'
    headers = {"ETag": f"W/{tag}", "Cache-Control": etags.REVALIDATE}
    if etags.is_known(tag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers | {"Vary": "Accept-Encoding"})
    headers |= {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return _files()[PAGE].response(request, headers | {"Cross-Origin-Opener-Policy": "same-origin"})


@router.get("/page/{digest}/{path:path}")
def get_page_file(digest: str, path: str, request: Request) -> Response:
    """A file of the page."""
    found = _files().get(path)
    if digest != _digest() or found is None or path == PAGE:
        raise HTTPException(404)
    return found.response(request, {"Cache-Control": etags.FOR_EVER})
