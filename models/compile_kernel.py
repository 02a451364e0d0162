"""`python -m models.compile_kernel` compiles the kernel, unless this machine has done so already."""

from models.inference.compiled import warm_up_inference
from models.training.compiled_run import warm_up_training

print("Compiling the kernel: half a minute, once on each machine.")
warm_up_training()
warm_up_inference()
