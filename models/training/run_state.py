"""The state of an unfinished training as plain arrays, so that a file can hold it."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from models.datasets import Array, IntArray

RunState = dict[str, Array]
"""What `Run.state` returns: arrays by name. Each implementation chooses its own."""

_WORD = 2**64 - 1


def check(given: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Checks names, shapes and dtypes of arrays against expected ones, whose values do not matter.

    Raises:
        ValueError: a name is missing or unknown, or an array has the wrong shape or dtype.
    """
    if given.keys() != expected.keys():
        raise ValueError(f"the state must have the arrays {', '.join(expected)}")
    for name, array in expected.items():
        if (given[name].shape, given[name].dtype) != (array.shape, array.dtype):
            raise ValueError(f"the state's {name} must be {array.dtype} of shape {array.shape}")


def check_orders(order_EN: IntArray) -> None:
    """Checks that each row contains every point exactly once, so that no index is out of range.

    Raises:
        ValueError: a row is not a permutation of 0 to N - 1.
    """
    if not (np.sort(order_EN, axis=1) == np.arange(order_EN.shape[1])).all():
        raise ValueError("the state's order of points must contain each point once")


def generator_state(generator: np.random.Generator) -> npt.NDArray[np.uint64]:
    """The state of a generator made by `numpy.random.default_rng`, uint64 (6,)."""
    where = generator.bit_generator.state
    state, increment = where["state"]["state"], where["state"]["inc"]
    halves = [state >> 64, state & _WORD, increment >> 64, increment & _WORD]
    return np.array([*halves, where["has_uint32"], where["uinteger"]], np.uint64)


def restored_generator(state: npt.NDArray[np.uint64]) -> np.random.Generator:
    """The generator with a state that `generator_state` returned.

    Raises:
        ValueError: no generator has this state.
    """
    high, low, increment_high, increment_low, has_half, half = (int(word) for word in state)
    if has_half > 1 or half >= 2**32:
        raise ValueError("the state's generator must be a PCG64 generator of NumPy")
    bits = np.random.PCG64(0)
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": high << 64 | low, "inc": increment_high << 64 | increment_low},
        "has_uint32": has_half,
        "uinteger": half,
    }
    return np.random.Generator(bits)
