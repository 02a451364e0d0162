"""The mathematics of Separatrix: data, networks, training, checkpoints and grids. No HTTP, no SQL, no environment.

Glossary
    network     a torch ``nn.Module``, as trained.
    plan        the same network as plain float32 arrays: what answers predictions, without torch.
    checkpoint  a network's ``state_dict`` on disk, beside a card that says how it came to be.
    logit       a network's raw output. One per point for two classes (the log odds of the second), else one per class.

Dimension letters, at the end of array names
    N  points            D  features of a point      K  classes           O  outputs of a network (1, or K)
    H  rows of a grid, along y                       W  columns of a grid, along x

``xy_ND`` is thus a float32 array of shape (N, D). Modules that import torch: ``networks``, ``training`` and
``checkpoints``; the others need numpy alone, so that a serving process stays small and starts fast.
"""
