"""`GET /comparison`: where, or on which points, the labels of two versions differ."""

from functools import partial
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from models.limits import MAX_ANSWER_VALUES
from models.specs import DATASET_NAMES, InvalidInput
from service.api.deps import Services, ServicesDep
from service.api.models.comparison_schemas import Comparison, encode_points, encode_window
from service.api.window_query import WindowQuery
from service.http import content_negotiation, documentation, etags
from service.http.bodies import request_body
from service.http.content_negotiation import Accept, Format
from service.http.etags import IfNoneMatch
from service.http.patterns import VERSION_PATTERN
from service.inference import comparison
from service.inference.comparison import PointsComparison
from service.inference.pairs import Pair
from service.records import NAME_PATTERN
from service.registry import references, refresh
from service.registry.registry import LoadedVersion
from service.render import comparison_png, headers

router = APIRouter(tags=["models"])

MAX_FLIPS = 1_000
"""Points that a response lists: more than a person looks at. Confusion and evaluations count all."""

JSON, PNG = Format("json", request_body.JSON), Format("png", comparison_png.MEDIA_TYPE)

_WINDOW = frozenset(WindowQuery.model_fields)
"""The parameters of a window."""


class _Versions(BaseModel):
    """The versions to compare."""

    a: str = Field(
        pattern=VERSION_PATTERN,
        description="A version, `MODEL:VERSION` or `MODEL:ALIAS`; by default the one that `latest` names.",
        examples=["flower-sequential:1"],
    )
    b: str = Field(
        pattern=VERSION_PATTERN,
        description="The version to compare it with, of the same or another model. It needs the features and the "
        "classes of `a`.",
        examples=["flower-module"],
    )
    dataset: str | None = Field(
        None,
        pattern=NAME_PATTERN,
        description="Compare on the points of this dataset in place of a window: a stored one, or a generator with "
        "its default settings.",
    )
    training_data: Literal["a", "b"] | None = Field(
        None, description="Compare on the points that `a`, or `b`, was trained on."
    )
    limit: int = Field(
        100,
        ge=0,
        le=MAX_FLIPS,
        description="Maximum number of points to list of those whose labels differ, the first ones.",
    )


class ComparisonQuery(WindowQuery, _Versions):
    """Two versions, and where to compare them."""

    model_config = ConfigDict(extra="forbid")

    format: Annotated[str, WithJsonSchema({"type": "string", "enum": [JSON.name, PNG.name]})] | None = Field(
        None, description="By default the format that `Accept` prefers, else JSON. `png` shows a window."
    )

    @property
    def is_window(self) -> bool:
        """Whether the versions are compared in a window."""
        return self.dataset is None and self.training_data is None

    def check(self) -> None:
        """Checks the parameters against each other.

        Raises:
            InvalidInput: a parameter of windows is given for points, or a parameter of points for a window.
        """
        if self.dataset is not None and self.training_data is not None:
            raise InvalidInput("training_data", "cannot be combined with dataset")
        for name in self.model_fields_set:
            if not self.is_window and name in _WINDOW:
                raise InvalidInput(name, "cannot be combined with dataset or training_data: it belongs to a window")
            if self.is_window and name == "limit":
                raise InvalidInput(name, "needs dataset or training_data")


_CACHING = etags.documented("A year if both versions are numbered.")
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {PNG.media_type: documentation.BINARY},
        "headers": _CACHING
        | {
            "Separatrix-Compared": documentation.header(
                "For PNG: the two versions.", example="flower-sequential:1,flower-module:1"
            ),
            "Separatrix-Differing": documentation.header(
                "For PNG: the number of cells that differ, and of all.", example="492,40000"
            ),
            "Separatrix-Window": documentation.header("For PNG: as in `GET /boundary-grid`, and so are the next ones."),
            "Separatrix-Axes": documentation.header("For PNG: the axes."),
            "Separatrix-At": documentation.header("For PNG: the values of all other features."),
            "Separatrix-Colors": documentation.header("For PNG: the colors of the classes."),
        },
    },
    304: etags.not_modified(_CACHING),
}


@router.get("/comparison", operation_id="getComparison", response_model=Comparison, responses=_RESPONSES)
async def get_comparison(
    query: Annotated[ComparisonQuery, Query()],
    services: ServicesDep,
    request: Request,
    accept: Accept = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """Compares the labels of two versions in a window or on points, and their metrics.

    By default the window has the default windows of both. As PNG, cells are pale where the versions agree.
    """
    query.check()
    form = content_negotiation.chosen((JSON, PNG) if query.is_window else (JSON,), accept, query.format)
    registry = services.registry
    named = [references.named(text) for text in (query.a, query.b)]
    a, b = [await refresh.resolve(registry, *one) for one in named]
    asked = query.model_dump(exclude={"a", "b", "format"})
    digest = None
    if query.dataset is not None and query.dataset not in DATASET_NAMES:
        digest = await to_thread.run_sync(_digest, services, query.dataset)
    published = [[one.published.model, one.published.version, one.published.card_digest] for one in (a, b)]
    is_immutable = digest is None and all(isinstance(version, int) for _, version in named)

    def is_current() -> bool:
        return all(registry.is_current(one.published, version) for one, (_, version) in zip((a, b), named, strict=True))

    return await services.response_cache.answer(
        request.scope,
        lambda: services.heavy(partial(_respond, query, form, a, b, services), request.receive),
        tag=etags.entity_tag(request.app.version, published, digest, asked, form.name),
        cache_control=etags.FOR_EVER if is_immutable else etags.REVALIDATE,
        if_none_match=if_none_match,
        is_current=None if digest else is_current,  # another process may replace the dataset at any time
    )


def _digest(services: Services, dataset: str) -> str:
    return services.store.datasets.get(dataset).digest


def _respond(query: ComparisonQuery, form: Format, a: LoadedVersion, b: LoadedVersion, services: Services) -> Response:
    """The response, without caching headers. It takes long, so call it in a thread."""
    pair = Pair.of(a, b)
    if not query.is_window:
        points = _over_points(query, pair, services)
        body = encode_points(points, dataset=query.dataset, training_data=query.training_data)
        return Response(body, media_type=form.media_type)
    is_picture = form is PNG
    window = comparison.over_window(pair, query.as_window(is_picture=is_picture), with_lines=is_picture)
    if is_picture:
        about = headers.of_comparison(window)
        return Response(comparison_png.encode(window), media_type=form.media_type, headers=about)
    return Response(encode_window(window), media_type=form.media_type)


def _over_points(query: ComparisonQuery, pair: Pair, services: Services) -> PointsComparison:
    most = min(query.limit, MAX_ANSWER_VALUES // pair.a.card.features)
    if query.dataset is not None:
        return comparison.over_dataset(pair, query.dataset, services.datasets, max_flips=most)
    version = pair.a if query.training_data == "a" else pair.b
    return comparison.over_training_data(pair, version, services.files, max_flips=most)
