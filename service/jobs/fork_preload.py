"""Imported once by the fork server, so that each training process starts with everything loaded and compiled."""

import service.jobs.loop  # noqa: F401  # with torch, which takes seconds to import
from models.training.compiled_run import warm_up_training

warm_up_training()
