"""Boundary lines as GeoJSON (RFC 7946), `application/geo+json`: data units take the place of degrees."""

from typing import Any

import orjson

from service.inference.grids import BoundaryLines
from service.render import palette

MEDIA_TYPE = "application/geo+json"


def encode(boundary: BoundaryLines) -> bytes:
    """A FeatureCollection with one LineString for each line; its other members are foreign (RFC 7946, 6.1)."""
    classes, k = boundary.window.network.card.classes, boundary.class_index
    window = boundary.window
    spec = window.spec
    content = {
        "type": "FeatureCollection",
        "bbox": [spec.x_min, spec.y_min, spec.x_max, spec.y_max],
        **window.network.answered_by,
        "class": None if k is None else classes[k],
        **window.position,
        "classes": classes,
        "colors": palette.class_codes(len(classes)),
        "features": features(boundary),
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def features(boundary: BoundaryLines) -> list[dict[str, Any]]:
    """A Feature with a LineString for each line. The coordinates are arrays, float64 (V, 2)."""
    classes, k = boundary.window.network.card.classes, boundary.class_index
    return [
        {
            "type": "Feature",
            "properties": {
                "classes": [classes[one] for one in line.classes],
                "level": line.level,
                "closed": line.closed,
                "color": palette.line_code(len(classes), line, k),
            },
            "geometry": {"type": "LineString", "coordinates": line.xy_V2},
        }
        for line in boundary.lines
    ]
