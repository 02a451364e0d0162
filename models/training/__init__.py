"""Training: the torch and compiled implementations, restarts, early stopping, and resume states.

How networks learn belongs here. Files belong to `models.checkpoints`, jobs to the service. `runs`, `run_state` and
`resume_state` need NumPy alone; `torch_run` and `train` import torch, `compiled_run` imports numba.
"""
