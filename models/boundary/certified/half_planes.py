"""Projection of points onto half-planes within boxes."""

import numpy as np
import numpy.typing as npt

from models.datasets import DoubleArray

BoolArray = npt.NDArray[np.bool_]


def project(
    xy_2M: DoubleArray, low_2M: DoubleArray, high_2M: DoubleArray, slope_R2M: DoubleArray, needed_RM: DoubleArray
) -> tuple[DoubleArray, BoolArray]:
    """Projects points onto the half-planes slope . (xy - x) >= needed within boxes: R half-planes for each of M points.

    The projection is the point x nearest to xy in the box and the half-plane. It is xy - t slope, clipped
    to the box, for the least sufficient t >= 0 (by the conditions of Karush, Kuhn and Tucker). The left side grows with
    t, linearly between the breakpoints at which the clipping of a coordinate changes.

    Returns:
        The projections (R, 2, M), and whether there is no such point in the box (R, M).
    """
    breakpoints = [np.zeros_like(needed_RM)]
    breakpoints += [(xy_2M[d] - edge_2M[d]) / slope_R2M[:, d] for d in range(2) for edge_2M in (low_2M, high_2M)]
    t_BRM = np.sort(np.where(np.isfinite(breakpoints), np.maximum(breakpoints, 0), 0), axis=0)

    def clipped(t: DoubleArray) -> DoubleArray:
        return np.clip(xy_2M - t[..., None, :] * slope_R2M, low_2M, high_2M)

    reached_BRM = (slope_R2M * (xy_2M - clipped(t_BRM))).sum(axis=-2)
    is_short_BRM = reached_BRM < needed_RM
    k_RM = np.clip(is_short_BRM.sum(axis=0), 1, len(t_BRM) - 1)[None]
    t_0, t_1 = (np.take_along_axis(t_BRM, k, axis=0)[0] for k in (k_RM - 1, k_RM))
    reached_0, reached_1 = (np.take_along_axis(reached_BRM, k, axis=0)[0] for k in (k_RM - 1, k_RM))
    t_RM = np.where(is_short_BRM[0], t_0 + (needed_RM - reached_0) / (reached_1 - reached_0) * (t_1 - t_0), 0)
    return clipped(t_RM), is_short_BRM[-1]
