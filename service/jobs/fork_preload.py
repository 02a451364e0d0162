"""Imported once by the fork server, so that each training process starts with everything loaded and compiled."""

import gc

gc.disable()  # nothing that is imported becomes garbage, and looking for it takes a sixth of the time of the imports

import service.jobs.loop  # noqa: E402, F401  # with torch, which takes seconds to import
from models.training.compiled_run import warm_up_training  # noqa: E402

warm_up_training()
gc.freeze()  # the forked processes look for garbage among their own objects alone, and share the memory of these
gc.enable()
