"""`python -m models.compile_kernel` compiles the kernel, unless this machine has done so yet."""

from models.inference.compiled import warm_up_answers
from models.training.compiled_run import warm_up_training

print("compiling the kernel, unless this machine has it: half a minute, once")
warm_up_training()
warm_up_answers()
