"""Inference: what plans answer for points and on grids.

Each way to evaluate a plan is a module: `numpy_forward`, `scalar_codegen` and `compiled` (which loads numba);
`dispatch` chooses by size. Boundaries, labels by proof and pictures belong elsewhere.
"""
