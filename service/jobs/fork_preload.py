"""Imported once by the fork server, so that each training process starts with everything loaded and compiled.

torch takes longest to import, and is imported at once. The rest takes most of the memory, and is imported when a
process is needed.
"""

import gc
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the API process decides
gc.disable()  # nothing that is imported becomes garbage, and looking for it takes a sixth of the time of the imports

import torch  # noqa: E402, F401

from service.processes.standby import wait_until_needed  # noqa: E402

wait_until_needed()

import service.jobs.loop  # noqa: E402, F401
from models.training.compiled_run import warm_up_training  # noqa: E402

warm_up_training()
gc.freeze()  # the forked processes look for garbage among their own objects alone, and share the memory of these
gc.enable()
