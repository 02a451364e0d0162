"""The generators of labeled points, one row each: a function, a description, and defaults.

Each function returns the points of all classes, float64 (N, 2), class by class. It takes the number of points of each
class, the noise in data units (see `GENERATORS`), and a seed; equal arguments give equal points, bit for bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Generator:
    """One generator.

    Attributes:
        description: one sentence for clients.
        points: see the module.
        noise: the default width of the noise.
        many_classes: whether it can make more than two classes.
        class_names: labels of the classes; integers from 0 on if None.
    """

    description: str
    points: Callable[[Sequence[int], float, int], DoubleArray]
    noise: float
    many_classes: bool = False
    class_names: tuple[str, ...] | None = None


def _flower(counts: Sequence[int], noise: float, seed: int) -> DoubleArray:
    # The legacy generator, and t drawn before r: with the defaults, these are exactly the tutorial's points.
    rng = np.random.RandomState(seed)
    petals = []
    for j, count in enumerate(counts):
        t_N = np.linspace(j * 3.12, (j + 1) * 3.12, count) + rng.rand(count) * noise
        r_N = 4 * np.sin(4 * t_N) + rng.rand(count) * noise
        petals.append(np.c_[r_N * np.sin(t_N), r_N * np.cos(t_N)])
    return np.concatenate(petals)


def _circles(counts: Sequence[int], noise: float, seed: int) -> DoubleArray:
    rings = [radius * _on_circle(count) for radius, count in zip((1.0, 0.5), counts, strict=True)]
    return _jittered(np.concatenate(rings), noise, seed)


def _moons(counts: Sequence[int], noise: float, seed: int) -> DoubleArray:
    upper, lower = (np.linspace(0, np.pi, count) for count in counts)
    moons = (np.c_[np.cos(upper), np.sin(upper)], np.c_[1 - np.cos(lower), 0.5 - np.sin(lower)])
    return _jittered(np.concatenate(moons), noise, seed)


def _xor(counts: Sequence[int], noise: float, seed: int) -> DoubleArray:
    count = sum(counts)
    rng = np.random.default_rng((seed, 1))  # independent of the noise's generator
    side_ND = rng.uniform(0, 1, (count, 2))
    sign_N = rng.choice((-1.0, 1.0), count)
    other_N = np.repeat((1.0, -1.0), counts)  # the signs agree in class 0 and differ in class 1
    corners_ND: DoubleArray = side_ND * np.c_[sign_N, sign_N * other_N]
    return _jittered(corners_ND, noise, seed)


def _spirals(counts: Sequence[int], noise: float, seed: int) -> DoubleArray:
    arms = []
    for j, count in enumerate(counts):
        r_N = np.linspace(0.1, 1, count)
        t_N = 3.5 * np.pi * r_N + 2 * np.pi * j / len(counts)
        arms.append(np.c_[r_N * np.sin(t_N), r_N * np.cos(t_N)])
    return _jittered(np.concatenate(arms), noise, seed)


def _gaussians(counts: Sequence[int], noise: float, seed: int) -> DoubleArray:
    return _jittered(np.repeat(2 * _on_circle(len(counts)), counts, axis=0), noise, seed)


def _on_circle(count: int) -> DoubleArray:
    t_N = np.linspace(0, 2 * np.pi, count, endpoint=False)
    xy_ND: DoubleArray = np.column_stack([np.cos(t_N), np.sin(t_N)])
    return xy_ND


def _jittered(xy_ND: DoubleArray, noise: float, seed: int) -> DoubleArray:
    """The points with normal noise of this standard deviation."""
    noise_ND: DoubleArray = np.random.default_rng(seed).normal(0, noise, xy_ND.shape)
    return xy_ND + noise_ND


GENERATORS: dict[str, Generator] = {
    "flower": Generator(
        description="Two classes on the petals of a flower of radius 4, as in the tutorial.",
        points=_flower,
        noise=0.2,  # here the width of uniform noise, elsewhere a standard deviation
        class_names=("red", "blue"),
    ),
    "circles": Generator(
        description="A ring (class 0) around a smaller ring (class 1).",
        points=_circles,
        noise=0.1,
    ),
    "moons": Generator(
        description="Two interleaved half circles.",
        points=_moons,
        noise=0.1,
    ),
    "xor": Generator(
        description="A square cut in four: class 1 where the signs of x and y differ.",
        points=_xor,
        noise=0.1,
    ),
    "spirals": Generator(
        description="Two or more arms that wind around the origin.",
        points=_spirals,
        noise=0.05,
        many_classes=True,
    ),
    "gaussians": Generator(
        description="Two or more round clouds, their centers evenly on a circle of radius 2.",
        points=_gaussians,
        noise=0.5,
        many_classes=True,
    ),
}
