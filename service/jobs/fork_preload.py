"""Imported by the process that training processes are forked from: what they all need is then there at once."""

import service.jobs.worker  # noqa: F401  # torch takes seconds to import
from models.training.compiled_run import warm_up_training

warm_up_training()
