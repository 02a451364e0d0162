"""`/docs`: the OpenAPI document as a page of Swagger UI, which needs nothing from other hosts.

Its files come from the package fastapi-offline. The page has no inline script, and all its URLs are relative, so it
works under any path prefix.
"""

import hashlib
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from service.http import etags

router = APIRouter(include_in_schema=False)

MEDIA_TYPES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "start.js": "text/javascript"}
"""The files of the page."""

START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // would send the address of the document to another host
});
"""
"""The script that starts Swagger UI. It is relative to the address of the page."""

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Separatrix</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/{folder}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/{folder}/swagger-ui-bundle.js"></script>
<script src="docs/{folder}/start.js"></script>
</body>
</html>
"""


@cache
def _files() -> dict[str, bytes]:
    """The content of each file."""
    folder = Path(str(distribution("fastapi-offline").locate_file("fastapi_offline/static")))
    return {name: START.encode() if name == "start.js" else (folder / name).read_bytes() for name in MEDIA_TYPES}


@cache
def _folder() -> str:
    """A name that changes with the files, so that browsers may keep them forever."""
    return hashlib.sha256(b"".join(_files().values())).hexdigest()[:16]


@router.get("/docs")
def get_docs() -> Response:
    """The page."""
    return Response(PAGE.format(folder=_folder()), media_type="text/html", headers={"Cache-Control": etags.REVALIDATE})


@router.get("/docs/{folder}/{name}")
def get_docs_file(folder: str, name: str) -> Response:
    """A file of the page."""
    if folder != _folder() or name not in MEDIA_TYPES:
        raise HTTPException(404)
    return Response(_files()[name], media_type=MEDIA_TYPES[name], headers={"Cache-Control": etags.FOR_EVER})
