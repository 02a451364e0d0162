"""`python -m models.compile_kernel` compiles the kernel, unless this machine has done so already."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from models.inference.compiled import warm_up_inference
from models.specs import Optimizer
from models.training.compiled_run import warm_up_training

PARTS: tuple[Optimizer | None, ...] = ("sgd", "lbfgs", None)
"""What processes compile at the same time: the training by an optimizer, or inference. The longest comes first."""


def compile_part(optimizer: Optimizer | None) -> None:
    """Compiles training by an optimizer, or inference if `optimizer` is None."""
    if optimizer is None:
        warm_up_inference()
    else:
        warm_up_training((optimizer,))


if __name__ == "__main__":
    print("Compiling the kernel: about a minute, once on each machine.")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        list(processes.map(compile_part, PARTS))
