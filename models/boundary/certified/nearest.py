"""The nearest point at which a network changes its label, with a certified lower bound of the distance to any other.

This is branch and bound on boxes around each point, level by level, for all points at once. On a box, the margin of the
point's own class over each rival is at least a linear function minus a radius (`models.boundary.certified.bounds`). The
label can change only in the half-plane where the function is below the radius, so the distance to that half-plane is a
lower bound. Boxes whose bound exceeds the distance already found are pruned, the others are split. The same linear
function suggests where to probe for a change; from each change found, the segment back to the point is searched for a
nearer one. Since radii shrink with the square of the box size, the two bounds meet after a few levels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models import interruption
from models.boundary.certified.bounds import CertifiedBounds, computed_labels, output_bounds
from models.boundary.certified.half_planes import BoolArray, project
from models.datasets import DoubleArray, IntArray
from models.limits import MAX_NEAREST_WORK
from models.networks.plans import Plan
from models.specs import InvalidInput

TOLERANCE = 1e-4
"""The search for a point ends when the distance found is certified to exceed the least by at most this share."""

MAX_BOXES = 3_000
"""Maximum number of boxes for one point: a search that needs more ends with the bounds it has."""

MIN_BOXES = 100
"""Minimum average number of boxes per point. With fewer, most searches would find nothing."""

ACTIVATION_WORK = 30
"""Cost of bounding an activation, in multiplications."""

BLOCK_POINTS = 256
"""Points searched for at once, fewer for many classes: so memory does not grow with the number of points."""

RING_POINTS, RINGS = 16, 16
"""Points probed at first: `RING_POINTS` on each of `RINGS` rings. A change found there limits the size of the boxes."""

FEW_BOXES = 256
"""Number of boxes below which each is split into 16 instead of 4: more boxes then cost less than another level."""

SECTIONS, ROUNDS = 16, 5
"""The segment from a point to a change is divided into `SECTIONS` sections, `ROUNDS` times, each time continuing with
the first section at whose end the label differs: to a millionth of its length."""

ROUNDING_FACTOR = 2.0
"""A box is not split further when its radius is at most this many times the point's, which is due to float32."""


@dataclass(frozen=True)
class Nearest:
    """The nearest change of label for each point.

    Attributes:
        xy_N2: float64 (N, 2), a point whose computed label differs from the point's own. This close to the boundary,
            a sum in another order may give another label, but the point's own label is never certified there. NaN if
            none was found.
        distance_N: float64 (N,), the Euclidean distance to it, at most the radius; infinite if none was found.
        bound_N: float64 (N,), at most the radius: at smaller distances the label is certified not to change.
    """

    xy_N2: DoubleArray
    distance_N: DoubleArray
    bound_N: DoubleArray


def nearest(plan: Plan, xy_N2: DoubleArray, *, level: float = 0.0, radius: float) -> Nearest:
    """The nearest change of label within `radius` of points, in data units, for a network of two features.

    With one output, the label is 1 where the logit is greater than `level`, which is within 80 of 0; with several, it
    is the greatest output. The distance and its bound differ by `TOLERANCE`, or by as much as float32 rounding of the
    logits leaves the boundary uncertain. They differ by more only if `MAX_BOXES`, or the share of `MAX_NEAREST_WORK`
    multiplications for all points together, did not suffice. The point returned lies just behind a change, as seen from
    the given point.

    Raises:
        InvalidInput: the network's output overflows float32 within the radius.
    """
    transform = plan.transform
    plan = replace(plan, transform=transform.centered)
    xy_N2 = transform.centered_points(xy_N2)
    allowed_boxes = MAX_NEAREST_WORK // _work_per_box(plan)
    searches = []
    step = max(8, BLOCK_POINTS // plan.widths[-1])
    for start in range(0, max(1, len(xy_N2)), step):
        block_N2 = xy_N2[start : start + step]
        search = _Search(plan, block_N2, level, radius, transform.representable)
        search.run(allowed_boxes * len(block_N2) // max(1, len(xy_N2)))
        searches.append(search)
    return Nearest(
        transform.data_units(np.concatenate([search.found_N2 for search in searches])),
        np.concatenate([search.distance_N for search in searches]),
        np.concatenate([np.minimum(search.cutoff(), search.unresolved_N) for search in searches]),
    )


def max_points(plan: Plan) -> int:
    """For how many points at once a search has enough boxes to find something; 0 for very large networks."""
    return MAX_NEAREST_WORK // (MIN_BOXES * _work_per_box(plan))


def _work_per_box(plan: Plan) -> int:
    """Multiplications for each box, of which those in double precision take as long as two.

    The center, a coefficient for each coordinate and the radius pass through the weights and the activations.
    """
    return 2 * (plan.features + 2) * (plan.parameters.size + ACTIVATION_WORK * sum(plan.widths[1:]))


@dataclass(frozen=True)
class _Boxes:
    """Squares of one size: the index of the point that each belongs to, midpoints, and lower bounds of the distance."""

    owner_M: IntArray
    mid_M2: DoubleArray
    bound_M: DoubleArray

    def __len__(self) -> int:
        return len(self.owner_M)

    def select(self, chosen_M: BoolArray) -> "_Boxes":
        return _Boxes(self.owner_M[chosen_M], self.mid_M2[chosen_M], self.bound_M[chosen_M])


class _Search:
    """The search around some points.

    Attributes:
        found_N2, distance_N: the nearest change found so far.
        unresolved_N: the least bound of the boxes that are not split further; infinite without such boxes.
        boxes_N: the number of boxes whose outputs were bounded.
    """

    def __init__(
        self,
        plan: Plan,
        xy_N2: DoubleArray,
        level: float,
        radius: float,
        representable: Callable[[DoubleArray], DoubleArray],
    ) -> None:
        self._plan, self._xy_N2, self._level, self._radius = plan, xy_N2, level, radius
        self._representable = representable
        self._label_N = self._labels(xy_N2)
        count = len(xy_N2)
        self.found_N2 = np.full((count, 2), np.nan)
        self.distance_N = np.full(count, np.inf)
        self.unresolved_N = np.full(count, np.inf)
        self.boxes_N = np.zeros(count, np.int64)
        point_radius_RN = output_bounds(plan, xy_N2, xy_N2).margin(self._label_N, level)[2]
        self._rounding_N = ROUNDING_FACTOR * point_radius_RN.max(axis=0)
        self._probe_rings()
        self._half_N = np.minimum(self.distance_N, radius)

    def cutoff(self) -> DoubleArray:
        """The distance below which a change is an improvement: (N,)."""
        cutoff_N: DoubleArray = np.minimum(self.distance_N * (1 - TOLERANCE), self._radius)
        return cutoff_N

    def run(self, allowed_boxes: int) -> None:
        """Branches and bounds until no box is left, or the outputs of `allowed_boxes` were bounded."""
        scale = 1.0
        boxes = _Boxes(np.arange(len(self._xy_N2)), self._xy_N2, np.zeros(len(self._xy_N2)))
        while len(boxes):
            interruption.check()
            parts = 4 if len(boxes) < FEW_BOXES else 2
            scale /= parts
            boxes = self._prune(self._split(boxes, scale, parts))
            boxes = self._limit_boxes(boxes, allowed_boxes)
            boxes, is_rounding_M = self._bound(boxes, scale)
            self._leave_unresolved(boxes.select(is_rounding_M))
            boxes = self._prune(boxes.select(~is_rounding_M))

    def _split(self, boxes: _Boxes, scale: float, parts: int) -> _Boxes:
        """Each box cut into `parts` along both axes; the bounds grow to the distances of the new boxes."""
        step = 2 * np.arange(parts) + 1 - parts
        steps = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2)
        owner_M = np.repeat(boxes.owner_M, len(steps))
        half_M1 = scale * self._half_N[owner_M, None]
        mid_M2 = np.repeat(boxes.mid_M2, len(steps), axis=0) + np.tile(steps, (len(boxes), 1)) * half_M1
        gap_M2 = np.maximum(np.abs(mid_M2 - self._xy_N2[owner_M]) - half_M1, 0)
        return _Boxes(owner_M, mid_M2, np.maximum(np.repeat(boxes.bound_M, len(steps)), np.hypot(*gap_M2.T)))

    def _prune(self, boxes: _Boxes) -> _Boxes:
        return boxes.select(boxes.bound_M < self.cutoff()[boxes.owner_M])

    def _limit_boxes(self, boxes: _Boxes, allowed_boxes: int) -> _Boxes:
        """Counts the boxes; the boxes of a point that has too many, or all if there are too many, stay unresolved."""
        boxes_N = self.boxes_N + self._count(boxes)
        too_many_M = (boxes_N > MAX_BOXES)[boxes.owner_M] | (boxes_N.sum() > allowed_boxes)
        self._leave_unresolved(boxes.select(too_many_M))
        boxes = boxes.select(~too_many_M)
        self.boxes_N += self._count(boxes)
        return boxes

    def _count(self, boxes: _Boxes) -> IntArray:
        return np.bincount(boxes.owner_M, minlength=len(self.boxes_N))

    def _leave_unresolved(self, boxes: _Boxes) -> None:
        np.minimum.at(self.unresolved_N, boxes.owner_M, boxes.bound_M)

    def _bound(self, boxes: _Boxes, scale: float) -> tuple[_Boxes, BoolArray]:
        """The boxes with tighter bounds, and whether their radius is only float32 rounding; probes for changes."""
        half_M1 = scale * self._half_N[boxes.owner_M, None]
        low_M2, high_M2 = boxes.mid_M2 - half_M1, boxes.mid_M2 + half_M1
        bounds = output_bounds(self._plan, low_M2, high_M2)
        xy_2M = self._xy_N2[boxes.owner_M].T
        with np.errstate(all="ignore"):  # what is not proven may be infinite or NaN
            slope_R2M, radius_RM, needed_RM = self._half_planes(bounds, boxes, xy_2M)
            nearest_R2M, is_empty_RM = project(xy_2M, low_M2.T, high_M2.T, slope_R2M, needed_RM)
            distance_RM = np.nan_to_num(np.hypot(*np.moveaxis(nearest_R2M - xy_2M, 1, 0)), nan=0.0)
            distance_RM[is_empty_RM] = np.inf
            # of the rival that may be nearest: a point where it has certainly won
            rival_M, each_M = distance_RM.argmin(axis=0), np.arange(len(boxes))
            slope_M2, radius_M = slope_R2M[rival_M, :, each_M], radius_RM[rival_M, each_M]
            beyond_M2 = slope_M2 * (2 * radius_M / (slope_M2**2).sum(axis=1))[:, None]
            target_M2 = nearest_R2M[rival_M, :, each_M] - beyond_M2
        target_M2 = np.clip(np.where(np.isfinite(target_M2), target_M2, boxes.mid_M2), low_M2, high_M2)
        self._probe(np.tile(boxes.owner_M, 2), np.concatenate([target_M2, boxes.mid_M2]))
        bound_M = np.maximum(boxes.bound_M, distance_RM.min(axis=0) * (1 - 1e-9))  # for the rounding of float64
        return _Boxes(boxes.owner_M, boxes.mid_M2, bound_M), radius_M <= self._rounding_N[boxes.owner_M]

    def _half_planes(
        self, bounds: CertifiedBounds, boxes: _Boxes, xy_2M: DoubleArray
    ) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
        """Where in its box rival R may win: the points x with slope . (xy - x) >= needed.

        Returns:
            Slopes (R, 2, M), radii (R, M) and what is needed, the lower bound of the margin at the own point (R, M).
        """
        margin_RM, coef_R2M, radius_RM = bounds.margin(self._label_N[boxes.owner_M], self._level)
        slope_R2M = np.nan_to_num(coef_R2M / bounds.half_DM)
        at_xy_RM = margin_RM + (slope_R2M * (xy_2M - bounds.mid_DM)).sum(axis=1)
        needed_RM = np.nan_to_num(at_xy_RM - radius_RM, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        return slope_R2M, radius_RM, needed_RM

    def _probe_rings(self) -> None:
        """Probes points on rings around each point, up to the radius."""
        angle_S = 2 * np.pi / RING_POINTS * np.arange(RING_POINTS)
        distance_R = self._radius * (np.arange(1, RINGS + 1) / RINGS) ** 2
        ring_S2 = np.column_stack([np.cos(angle_S), np.sin(angle_S)])
        steps = (distance_R[:, None, None] * ring_S2).reshape(-1, 2)
        owner_M = np.repeat(np.arange(len(self._xy_N2)), len(steps))
        self._probe(owner_M, (self._xy_N2[:, None] + steps).reshape(-1, 2))

    def _probe(self, owner_M: IntArray, target_M2: DoubleArray) -> None:
        """Computes labels at targets, drawn nearer to their owners where they are too far to be an improvement."""
        start_M2 = self._xy_N2[owner_M]
        distance_M = np.hypot(*(target_M2 - start_M2).T)
        shrink_M = np.minimum(1, self.cutoff()[owner_M] / np.maximum(distance_M, 1e-300))
        target_M2 = start_M2 + shrink_M[:, None] * (target_M2 - start_M2)
        changed_M = self._labels(target_M2) != self._label_N[owner_M]
        owner_M, target_M2, distance_M = owner_M[changed_M], target_M2[changed_M], (distance_M * shrink_M)[changed_M]
        by_distance = np.lexsort([distance_M, owner_M])
        owner_n, first_n = np.unique(owner_M[by_distance], return_index=True)
        if len(owner_n):
            self._search_segments(owner_n, target_M2[by_distance[first_n]])

    def _search_segments(self, owner_n: IntArray, target_n2: DoubleArray) -> None:
        """Finds the first change on the segments from points to targets with another label, by repeated sectioning."""
        start_n2, step_n2 = self._xy_N2[owner_n], target_n2 - self._xy_N2[owner_n]
        low_n, high_n = np.zeros(len(owner_n)), np.ones(len(owner_n))
        for _ in range(ROUNDS):
            share_nS = np.linspace(low_n, high_n, SECTIONS + 1, axis=1)
            label_nS = self._labels((start_n2[:, None] + share_nS[:, 1:-1, None] * step_n2[:, None]).reshape(-1, 2))
            changed_nS = label_nS.reshape(-1, SECTIONS - 1) != self._label_N[owner_n, None]
            first_n = np.where(changed_nS.any(axis=1), changed_nS.argmax(axis=1) + 1, SECTIONS)
            each_n = np.arange(len(owner_n))
            low_n, high_n = share_nS[each_n, first_n - 1], share_nS[each_n, first_n]
        found_n2 = self._representable(start_n2 + high_n[:, None] * step_n2)
        distance_n = np.hypot(*(found_n2 - start_n2).T)
        better_n = distance_n < np.minimum(self.distance_N[owner_n], np.nextafter(self._radius, np.inf))
        self.found_N2[owner_n[better_n]] = found_n2[better_n]
        self.distance_N[owner_n[better_n]] = distance_n[better_n]

    def _labels(self, xy_M2: DoubleArray) -> IntArray:
        try:
            return computed_labels(self._plan, self._representable(xy_M2), level=self._level)
        except InvalidInput:
            raise InvalidInput(
                "radius", "must be smaller: that far away the output of the network overflows float32"
            ) from None
