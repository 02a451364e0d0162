"""The mathematics of Separatrix: data, networks, training, checkpoints and grids. No HTTP, no SQL, no environment.

Glossary
    network     a torch ``nn.Module``, as trained.
    layout      where the layers of a network lie in its state dict.
    plan        the same network as one vector of float32 numbers: what answers predictions, without torch.
    kernel      compiled loops that train a plan and answer for it.
    reference   the same by plain torch.
    standing    where trainings that were stopped go on from, with the network's ``state_dict`` by then.
    checkpoint  a network's ``state_dict`` on disk, beside a card that says how it came to be.
    certified bounds    what a network's outputs provably lie within on a whole box of points.
    logit       a network's raw output. One per point for two classes (the log odds of the second), else one per class.

Dimension letters, at the end of array names
    N  points            D  features of a point      K  classes           O  outputs of a network (1, or K)
    P  numbers that a network is made of             E  epochs
    H  rows of a grid, along y                       W  columns of a grid, along x
    U  units of a hidden layer                       V  vertices of a line

``xy_ND`` is thus a float32 array of shape (N, D). Modules that import torch: ``networks``, ``reference``,
``training`` and ``checkpoints``; numba: ``kernel`` and ``compiled``. The others need numpy alone, so that a serving
process stays small and starts fast.
"""
