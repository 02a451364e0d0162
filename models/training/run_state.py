"""The state of a training that is to go on later: arrays alone, so that it can be kept in a file."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from models.datasets import Array, IntArray

RunState = dict[str, Array]
"""What `Run.state` gives, by name. Which arrays they are is the implementation's own affair."""

_WORD = 2**64 - 1


def check(given: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Holds arrays by name against others, whose values do not matter.

    Raises:
        ValueError: a name is missing or unknown, or an array has another shape or dtype.
    """
    if given.keys() != expected.keys():
        raise ValueError(f"the state must have the arrays {', '.join(expected)}")
    for name, array in expected.items():
        if (given[name].shape, given[name].dtype) != (array.shape, array.dtype):
            raise ValueError(f"the state's {name} must be {array.dtype} of shape {array.shape}")


def check_orders(order_EN: IntArray) -> None:
    """Sees to it that no point is missed or met twice, and no index leads astray.

    Raises:
        ValueError: a row is not a permutation of 0 to N - 1.
    """
    if not (np.sort(order_EN, axis=1) == np.arange(order_EN.shape[1])).all():
        raise ValueError("the state's order of points must hold each of them once")


def generator_state(generator: np.random.Generator) -> npt.NDArray[np.uint64]:
    """Where a generator of `numpy.random.default_rng` stands, uint64 (6,)."""
    where = generator.bit_generator.state
    state, increment = where["state"]["state"], where["state"]["inc"]
    halves = [state >> 64, state & _WORD, increment >> 64, increment & _WORD]
    return np.array([*halves, where["has_uint32"], where["uinteger"]], np.uint64)


def generator_at(state: npt.NDArray[np.uint64]) -> np.random.Generator:
    """A generator that stands where another stood, see `generator_state`.

    Raises:
        ValueError: no generator stands there.
    """
    high, low, increment_high, increment_low, has_half, half = (int(word) for word in state)
    if has_half > 1 or half >= 2**32:
        raise ValueError("the state's generator must be one of NumPy's")
    bits = np.random.PCG64(0)
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": high << 64 | low, "inc": increment_high << 64 | increment_low},
        "has_uint32": has_half,
        "uinteger": half,
    }
    return np.random.Generator(bits)
