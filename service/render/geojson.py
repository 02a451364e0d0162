"""Decision boundaries as GeoJSON (RFC 7946), `application/geo+json`: lines in data units in the place of degrees."""

from typing import Any

import orjson

from models.datasets import Label
from service.inference.grids import BoundaryLines

MEDIA_TYPE = "application/geo+json"


def encode(boundary: BoundaryLines, classes: tuple[Label, ...], about: dict[str, Any]) -> bytes:
    """A FeatureCollection of LineStrings, a feature a line; `about` stands beside them, as RFC 7946, 6.1, has it."""
    k = boundary.class_index
    features = [
        {
            "type": "Feature",
            "properties": {
                "classes": [classes[one] for one in line.classes],
                "level": line.level,
                "closed": line.closed,
            },
            "geometry": {"type": "LineString", "coordinates": line.xy_V2},
        }
        for line in boundary.lines
    ]
    content = {
        "type": "FeatureCollection",
        **about,
        "class": None if k is None else classes[k],
        "classes": classes,
        "features": features,
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
