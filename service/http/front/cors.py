"""CORS: lets the pages of other origins use the service from a browser.

`CORSMiddleware` of Starlette does it. It is around the whole application, fast paths and event streams included.
"""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

MAX_AGE_S = 7_200
"""How long a browser may keep the answer to a preflight, in seconds: Chromium keeps none for longer."""

EXPOSED = (
    "Allow",
    "Content-Disposition",
    "ETag",
    "Idempotent-Replayed",
    "Inference-Header-Content-Length",
    "Link",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "Separatrix-At",
    "Separatrix-Axes",
    "Separatrix-Colors",
    "Separatrix-Compared",
    "Separatrix-Differing",
    "Separatrix-Epoch",
    "Separatrix-Evaluated",
    "Separatrix-Job-ID",
    "Separatrix-Left-Out",
    "Separatrix-Misclassified",
    "Separatrix-Model",
    "Separatrix-Points",
    "Separatrix-Range",
    "Separatrix-Version",
    "Separatrix-Window",
    "WWW-Authenticate",
    "X-Request-ID",
)
"""The headers of responses that a page may read, beyond those that every page may read."""


def allow(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The app for pages of these origins too; `*` is every origin.

    Any method and any header is allowed, because the service itself refuses those it does not know, with a problem that
    the page can read. Cookies are not: the service has none, and keys are in a header. A public page may reach a
    service in a private network, because whoever lists its origin wants that.
    """
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        allow_private_network=True,
        expose_headers=EXPOSED,
        max_age=MAX_AGE_S,
    )
