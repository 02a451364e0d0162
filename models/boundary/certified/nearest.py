"""The nearest point at which a network changes its label, with a proof of how near another could be.

Branch and bound on boxes around each point, level by level, for all points at once. In a box, the lead of the point's
own class over each rival is enclosed by a linear function and a radius (`models.boundary.certified.bounds`): the label can change only
where the function is below the radius, in a half-plane, whose distance is a bound from below. Boxes whose bound is
beyond what has been found are dropped, the others split. The same function tells where to look for a change, and from
what is found, the way back to the point is cut down. Since radii shrink with the square of a box, the two bounds meet
after a few levels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.boundary.certified.bounds import enclose, labels_at
from models.datasets import DoubleArray, IntArray
from models.limits import MAX_NEAREST_WORK
from models.networks.plans import Plan
from models.specs import InvalidInput

TOLERANCE = 1e-4
"""The search for a point ends when the distance found is proven to be at most this share greater than the least."""

MAX_BOXES = 3_000
"""Boxes enclosed for one point at most: a search that would need more ends with the bounds it has."""

LEAST_BOXES = 100
"""Boxes that there must be for each point, on average: with fewer most searches would end with nothing."""

ACTIVATION_WORK = 30
"""Multiplications that the enclosure of an activation takes as long as."""

POINTS = 256
"""Points searched for at once, fewer of many classes: so memory does not grow with their number."""

SPOKES = 16
"""Directions in which, and distances at which, changes are looked for at first: the boxes need not reach beyond."""

FEW_BOXES = 256
"""Boxes below which each is split into 16 in the place of four: their number then costs less than another level."""

SECTIONS, ROUNDS = 16, 5
"""The way from a point to a change is cut into so many parts, so many times, each time to go on with the first part at
whose end the label has changed: to a millionth of it."""

ROUNDING = 2.0
"""A box is split no more when its radius is at most this many times that of the point itself, which is float32's."""


@dataclass(frozen=True)
class Nearest:
    """What was found for each point.

    Attributes:
        xy_N2: float64 (N, 2), a point whose label was computed to be another than the point's own; its coordinates are
            float32 numbers. So near to the boundary, a sum in another order may answer otherwise, but the point's own
            label is never proven there. NaN where none was found.
        distance_N: float64 (N,), the Euclidean distance to it, at most the radius; infinite where none was found.
        bound_N: float64 (N,): nearer than this, the label is proven not to change. At most the radius.
    """

    xy_N2: DoubleArray
    distance_N: DoubleArray
    bound_N: DoubleArray


def nearest(plan: Plan, xy_N2: DoubleArray, *, level: float = 0.0, radius: float) -> Nearest:
    """The nearest change of label within `radius` of points, data units, of a plan of two features.

    With one output, class 1 is where the logit is greater than `level`, which is within 80 of 0; with several, the
    greatest decides alone. The distance found and its bound are `TOLERANCE` apart, or as far as float32's rounding of
    the logits makes the boundary uncertain; farther only where `MAX_BOXES`, or its share of `MAX_NEAREST_WORK`
    multiplications for all points together, did not suffice. What is returned lies just behind a change, as seen from
    the point.

    Raises:
        InvalidInput: the network's output overflows float32 within the radius.
    """
    allowed = MAX_NEAREST_WORK // _work(plan)
    searches = []
    step = max(8, POINTS // plan.widths[-1])
    for start in range(0, max(1, len(xy_N2)), step):
        some_N2 = xy_N2[start : start + step]
        search = _Search(plan, some_N2, level, radius)
        search.run(allowed * len(some_N2) // max(1, len(xy_N2)))
        searches.append(search)
    return Nearest(
        np.concatenate([search.found_N2 for search in searches]),
        np.concatenate([search.distance_N for search in searches]),
        np.concatenate([np.minimum(search.limit(), search.left_N) for search in searches]),
    )


def most_points(plan: Plan) -> int:
    """For how many points at once the search may take boxes enough to find something; 0 for very large networks."""
    return MAX_NEAREST_WORK // (LEAST_BOXES * _work(plan))


def _work(plan: Plan) -> int:
    """Of a box, in multiplications, of which those in double precision take as long as two.

    It is a line in each coordinate and a radius, through the weights and through the activations.
    """
    return 2 * (plan.features + 2) * (plan.parameters.size + ACTIVATION_WORK * sum(plan.widths[1:]))


@dataclass(frozen=True)
class _Boxes:
    """Squares of one size: the point that each belongs to, their middles, and how near a change in each may be."""

    owner_M: IntArray
    mid_M2: DoubleArray
    bound_M: DoubleArray

    def __len__(self) -> int:
        return len(self.owner_M)

    def where(self, chosen_M: npt.NDArray[np.bool_]) -> "_Boxes":
        return _Boxes(self.owner_M[chosen_M], self.mid_M2[chosen_M], self.bound_M[chosen_M])


class _Search:
    """The search around some points.

    Attributes:
        found_N2, distance_N: the nearest change found so far.
        left_N: the least bound of the boxes that were left as they are.
        boxes_N: boxes enclosed.
    """

    def __init__(self, plan: Plan, xy_N2: DoubleArray, level: float, radius: float) -> None:
        self._plan, self._xy_N2, self._level, self._radius = plan, xy_N2, level, radius
        self._label_N = self._labels(xy_N2)
        count = len(xy_N2)
        self.found_N2 = np.full((count, 2), np.nan)
        self.distance_N = np.full(count, np.inf)
        self.left_N = np.full(count, np.inf)
        self.boxes_N = np.zeros(count, np.int64)
        self._rounding_N = ROUNDING * enclose(plan, xy_N2, xy_N2).margin(self._label_N, level)[2].max(axis=0)
        self._look_around()
        self._half_N = np.minimum(self.distance_N, radius)

    def limit(self) -> DoubleArray:
        """How near a change must be to be of interest: (N,)."""
        limit_N: DoubleArray = np.minimum(self.distance_N * (1 - TOLERANCE), self._radius)
        return limit_N

    def run(self, allowed: int) -> None:
        """Level after level, until no box is open, or `allowed` are enclosed."""
        scale = 1.0
        boxes = _Boxes(np.arange(len(self._xy_N2)), self._xy_N2, np.zeros(len(self._xy_N2)))
        while len(boxes):
            parts = 4 if len(boxes) < FEW_BOXES else 2
            scale /= parts
            boxes = self._near(self._split(boxes, scale, parts))
            boxes_N = self.boxes_N + np.bincount(boxes.owner_M, minlength=len(self.boxes_N))
            too_many_M = (boxes_N > MAX_BOXES)[boxes.owner_M] | (boxes_N.sum() > allowed)
            self._leave(boxes.where(too_many_M))
            boxes = boxes.where(~too_many_M)
            self.boxes_N += np.bincount(boxes.owner_M, minlength=len(self.boxes_N))
            boxes, is_rounding_M = self._enclosed(boxes, scale)
            self._leave(boxes.where(is_rounding_M))
            boxes = self._near(boxes.where(~is_rounding_M))

    def _split(self, boxes: _Boxes, scale: float, parts: int) -> _Boxes:
        step = 2 * np.arange(parts) + 1 - parts
        steps = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2)
        owner_M = np.repeat(boxes.owner_M, len(steps))
        half_M1 = scale * self._half_N[owner_M, None]
        mid_M2 = np.repeat(boxes.mid_M2, len(steps), axis=0) + np.tile(steps, (len(boxes), 1)) * half_M1
        gap_M2 = np.maximum(np.abs(mid_M2 - self._xy_N2[owner_M]) - half_M1, 0)
        return _Boxes(owner_M, mid_M2, np.maximum(np.repeat(boxes.bound_M, len(steps)), np.hypot(*gap_M2.T)))

    def _near(self, boxes: _Boxes) -> _Boxes:
        return boxes.where(boxes.bound_M < self.limit()[boxes.owner_M])

    def _leave(self, boxes: _Boxes) -> None:
        np.minimum.at(self.left_N, boxes.owner_M, boxes.bound_M)

    def _enclosed(self, boxes: _Boxes, scale: float) -> tuple[_Boxes, npt.NDArray[np.bool_]]:
        """The boxes with better bounds, and which of them are as well known as they can be; looks for changes."""
        half_M1 = scale * self._half_N[boxes.owner_M, None]
        low_M2, high_M2 = boxes.mid_M2 - half_M1, boxes.mid_M2 + half_M1
        enclosure = enclose(self._plan, low_M2, high_M2)
        xy_2M = self._xy_N2[boxes.owner_M].T
        with np.errstate(all="ignore"):  # what is not known is not a number
            lead_RM, reach_R2M, radius_RM = enclosure.margin(self._label_N[boxes.owner_M], self._level)
            slope_R2M = np.nan_to_num(reach_R2M / enclosure.half_DM)
            here_RM = lead_RM + (slope_R2M * (xy_2M - enclosure.mid_DM)).sum(axis=1)
            over_RM = np.nan_to_num(here_RM - radius_RM, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
            foot_R2M, is_none_RM = _feet(xy_2M, low_M2.T, high_M2.T, slope_R2M, over_RM)
            away_RM = np.nan_to_num(np.hypot(*np.moveaxis(foot_R2M - xy_2M, 1, 0)), nan=0.0)
            away_RM[is_none_RM] = np.inf
            # the rival that may be nearest, and where it has certainly won
            nearest_M, each_M = away_RM.argmin(axis=0), np.arange(len(boxes))
            slope_M2, radius_M = slope_R2M[nearest_M, :, each_M], radius_RM[nearest_M, each_M]
            way_M2 = slope_M2 * (2 * radius_M / (slope_M2**2).sum(axis=1))[:, None]
            aim_M2 = foot_R2M[nearest_M, :, each_M] - way_M2
        aim_M2 = np.clip(np.where(np.isfinite(aim_M2), aim_M2, boxes.mid_M2), low_M2, high_M2)
        self._look(np.tile(boxes.owner_M, 2), np.concatenate([aim_M2, boxes.mid_M2]))
        bound_M = np.maximum(boxes.bound_M, away_RM.min(axis=0) * (1 - 1e-9))  # float64 rounds, too
        return _Boxes(boxes.owner_M, boxes.mid_M2, bound_M), radius_M <= self._rounding_N[boxes.owner_M]

    def _look_around(self) -> None:
        angle_S = 2 * np.pi / SPOKES * np.arange(SPOKES)
        away_S = self._radius * (np.arange(1, SPOKES + 1) / SPOKES) ** 2
        ring_S2 = np.column_stack([np.cos(angle_S), np.sin(angle_S)])
        steps = (away_S[:, None, None] * ring_S2).reshape(-1, 2)
        owner_M = np.repeat(np.arange(len(self._xy_N2)), len(steps))
        self._look(owner_M, (self._xy_N2[:, None] + steps).reshape(-1, 2))

    def _look(self, owner_M: IntArray, aim_M2: DoubleArray) -> None:
        """Looks for a change at points, or on the way to them where it would be nearer than what was found."""
        start_M2 = self._xy_N2[owner_M]
        away_M = np.hypot(*(aim_M2 - start_M2).T)
        nearer_M = np.minimum(1, self.limit()[owner_M] / np.maximum(away_M, 1e-300))
        aim_M2 = start_M2 + nearer_M[:, None] * (aim_M2 - start_M2)
        changed_M = self._labels(aim_M2) != self._label_N[owner_M]
        owner_M, aim_M2, away_M = owner_M[changed_M], aim_M2[changed_M], (away_M * nearer_M)[changed_M]
        first = np.lexsort([away_M, owner_M])
        owner_n, at = np.unique(owner_M[first], return_index=True)
        if len(owner_n):
            self._come_back(owner_n, aim_M2[first[at]])

    def _come_back(self, owner_n: IntArray, aim_n2: DoubleArray) -> None:
        """From points with another label towards the points they belong to, as far as the label stays changed."""
        start_n2, way_n2 = self._xy_N2[owner_n], aim_n2 - self._xy_N2[owner_n]
        low_n, high_n = np.zeros(len(owner_n)), np.ones(len(owner_n))
        for _ in range(ROUNDS):
            share_nS = np.linspace(low_n, high_n, SECTIONS + 1, axis=1)
            label_nS = self._labels((start_n2[:, None] + share_nS[:, 1:-1, None] * way_n2[:, None]).reshape(-1, 2))
            changed_nS = label_nS.reshape(-1, SECTIONS - 1) != self._label_N[owner_n, None]
            first_n = np.where(changed_nS.any(axis=1), changed_nS.argmax(axis=1) + 1, SECTIONS)
            each_n = np.arange(len(owner_n))
            low_n, high_n = share_nS[each_n, first_n - 1], share_nS[each_n, first_n]
        found_n2 = _cast(start_n2 + high_n[:, None] * way_n2)
        distance_n = np.hypot(*(found_n2 - start_n2).T)
        better_n = distance_n < np.minimum(self.distance_N[owner_n], np.nextafter(self._radius, np.inf))
        self.found_N2[owner_n[better_n]] = found_n2[better_n]
        self.distance_N[owner_n[better_n]] = distance_n[better_n]

    def _labels(self, xy_M2: DoubleArray) -> IntArray:
        try:
            return labels_at(self._plan, xy_M2.astype(np.float32), level=self._level)
        except InvalidInput:
            raise InvalidInput("radius", "too wide for the network: its output overflows float32") from None


def _feet(
    xy_2M: DoubleArray, low_2M: DoubleArray, high_2M: DoubleArray, slope_R2M: DoubleArray, over_RM: DoubleArray
) -> tuple[DoubleArray, npt.NDArray[np.bool_]]:
    """The point x of a box nearest to xy with slope . (xy - x) >= over: (R, 2, M), and where there is none: (R, M).

    It is xy - t slope, clipped to the box, for the least t >= 0 that will do (the conditions of Karush, Kuhn and
    Tucker). What it comes down by grows with t, linearly between the places where the clipping of a coordinate changes.
    """
    bends = [np.zeros_like(over_RM)]
    bends += [(xy_2M[d] - edge_2M[d]) / slope_R2M[:, d] for d in range(2) for edge_2M in (low_2M, high_2M)]
    t_BRM = np.sort(np.where(np.isfinite(bends), np.maximum(bends, 0), 0), axis=0)

    def clipped(t: DoubleArray) -> DoubleArray:
        return np.clip(xy_2M - t[..., None, :] * slope_R2M, low_2M, high_2M)

    down_BRM = (slope_R2M * (xy_2M - clipped(t_BRM))).sum(axis=-2)
    is_short_BRM = down_BRM < over_RM
    k_RM = np.clip(is_short_BRM.sum(axis=0), 1, len(t_BRM) - 1)[None]
    t_0, t_1 = (np.take_along_axis(t_BRM, k, axis=0)[0] for k in (k_RM - 1, k_RM))
    down_0, down_1 = (np.take_along_axis(down_BRM, k, axis=0)[0] for k in (k_RM - 1, k_RM))
    t_RM = np.where(is_short_BRM[0], t_0 + (over_RM - down_0) / (down_1 - down_0) * (t_1 - t_0), 0)
    return clipped(t_RM), is_short_BRM[-1]


def _cast(xy_M2: DoubleArray) -> DoubleArray:
    return xy_M2.astype(np.float32).astype(np.float64)
