"""The responses of `GET /boundary-grid` in the OpenAPI document: their formats, headers and examples."""

from typing import Any

from service.api.grids.formats import FORMATS, GridFormat
from service.http import etags
from service.http.documentation import header

_PLACE = {
    "axes": [0, 1],
    "axis_names": None,
    "at": [],
    "window": {"x_min": -2.0, "x_max": 2.0, "y_min": -1.0, "y_max": 1.0},
}
_CELLS = {"x": [-2.0, 0.0, 2.0], "y": [-1.0, 1.0]}
_CLASSES = {"classes": ["red", "blue"], "colors": ["#c8372d", "#2f6fb3"]}
_VERSION = {"model": "flower-sequential", "version": 1}

EXAMPLES: dict[str, dict[str, Any]] = {
    "BoundaryGrid": {
        "summary": "The probability of a class",
        "value": {
            "object": "boundary.grid",
            **_VERSION,
            "response": "probability",
            "class": "blue",
            "layer": None,
            "unit": None,
            **_PLACE,
            "shape": [2, 3],
            **_CELLS,
            **_CLASSES,
            "evaluated": 6,
            "values": [[0.02, 0.5, 0.98], [0.99, 0.5, 0.01]],
        },
    },
    "BoundaryProbabilities": {
        "summary": "The probability of every class",
        "value": {
            "object": "boundary.probabilities",
            **_VERSION,
            "response": "probabilities",
            **_PLACE,
            "shape": [2, 2, 3],
            **_CELLS,
            **_CLASSES,
            "values": [[[0.98, 0.5, 0.02], [0.01, 0.5, 0.99]], [[0.02, 0.5, 0.98], [0.99, 0.5, 0.01]]],
        },
    },
    "BoundaryEmbedding": {
        "summary": "Where a hidden layer maps the cells",
        "value": {
            "object": "boundary.embedding",
            **_VERSION,
            "response": "embedding",
            "layer": 0,
            "coordinates": "first",
            **_PLACE,
            "shape": [2, 3, 2],
            **_CELLS,
            "mean": None,
            "components": None,
            "explained": None,
            **_CLASSES,
            "values": [[[-0.9, 0.4], [0.0, 0.5], [0.9, 0.6]], [[-0.8, -0.6], [0.1, -0.5], [0.95, -0.4]]],
        },
    },
    "BoundaryLines": {
        "summary": "The line between two classes",
        "value": {
            "type": "FeatureCollection",
            "bbox": [-2.0, -1.0, 2.0, 1.0],
            **_VERSION,
            "class": None,
            **_PLACE,
            **_CLASSES,
            "features": [
                {
                    "type": "Feature",
                    "properties": {"classes": ["red", "blue"], "level": 0.5, "closed": False, "color": "#8c6178"},
                    "geometry": {"type": "LineString", "coordinates": [[0.0, -1.0], [0.0, 1.0]]},
                }
            ],
        },
    },
    "BoundaryCells": {"summary": "Two cells", "value": "x,y,value\n-2.0,-1.0,0.02\n0.0,-1.0,0.5\n"},
}
"""The components of the OpenAPI document that the responses refer to."""

_SHOWN = {
    "json": ("BoundaryGrid", "BoundaryProbabilities", "BoundaryEmbedding"),
    "geojson": ("BoundaryLines",),
    "csv": ("BoundaryCells",),
}
"""The examples of each format."""


def _content(one: GridFormat) -> dict[str, Any]:
    examples = {name: {"$ref": f"#/components/examples/{name}"} for name in _SHOWN.get(one.name, ())}
    return {**one.content, **({"examples": examples} if examples else {})}


_CACHING = etags.documented(
    "A year for a request that names the version, `no-store` for a running job, else to be revalidated."
)

_METADATA = {
    "Separatrix-Model": header("The model that answered.", example="flower-sequential"),
    "Separatrix-Version": header("The version that answered.", kind="integer", example=1),
    "Separatrix-Job-ID": header("The job that answered, if it has no version.", example="9f0c5e1d2a7b4c6f8e3d1a0b"),
    "Separatrix-Epoch": header(
        "The epoch of its training, if the request names one or a job.", kind="integer", example=100
    ),
    "Separatrix-Window": header("`x_min,x_max,y_min,y_max`; for a curve `x_min,x_max`.", example="-2.0,2.0,-1.0,1.0"),
    "Separatrix-Axes": header("The features along x and y, as the query takes them.", example="0,1"),
    "Separatrix-At": header(
        "The values of all other features, as the query takes them. Missing if there are none, or very many.",
        example="0.5,-1.0",
    ),
    "Separatrix-Colors": header("The color of each class in pictures.", example="#c8372d,#2f6fb3"),
    "Separatrix-Evaluated": header(
        "For a response or one unit: the number of cells that were computed.", kind="integer", example=40_000
    ),
    "Separatrix-Points": header(
        "With `overlay=points`: the training points that the picture shows, and all of them.", example="37,150"
    ),
    "Separatrix-Misclassified": header(
        "With `overlay=points`: how many of the points that the picture shows are misclassified.",
        kind="integer",
        example=4,
    ),
    "Separatrix-Range": header("For pictures: the values at the two ends of the scale of colors.", example="0.0,1.0"),
}
"""Headers of the formats without fields for these: `npy`, `png`, `csv` and `svg`."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The grid, or the lines, in the format that the request names. The `Separatrix-` headers "
        "accompany the formats that have no fields for them.",
        "content": {one.media_type: _content(one) for one in FORMATS},
        "headers": _CACHING | _METADATA,
    },
    304: etags.not_modified(_CACHING),
}
