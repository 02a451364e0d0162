"""The mathematics of Separatrix: data, networks, training, inference, boundaries and checkpoints.

No HTTP, no SQL, no environment variables; files only in `checkpoints`. What may import what is in `pyproject.toml`.
`networks.modules`, `training.torch_run`, `training.train` and `checkpoints.torch_files` import torch; `kernel` and its
two callers, `training.compiled_run` and `inference.compiled`, import numba. All else needs neither, so a serving
process starts fast and stays small. docs/glossary.md explains the terms.

Dimension letters, at the end of array names
    N  points            D  features of a point      K  classes           O  outputs of a network (1, or K)
    P  parameters of a network                       E  epochs
    H  rows of a grid, along y                       W  columns of a grid, along x
    U  units of a hidden layer                       V  vertices of a line
    F  fixed features of a slice                     M  points that a picture shows

`xy_ND`, for example, is a float32 array of shape (N, D).
"""
