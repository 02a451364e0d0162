"""The compiled kernel: training, forward passes and grids of dense networks in numba loops, float32, one thread.

What numba compiles belongs here, and the structures it works on. Nothing here knows jobs, files or torch.

`models.training.compiled_run` and `models.inference.compiled` are the only callers. numba compiles each entry
(`steps.advance`, `steps.measure`, `inference.probabilities`, `inference.grid`) on its first call and keeps the machine
code on disk, so a machine compiles once; see `compiling`.

Memory
    A *tape* holds all values of a network for one block of points: float32 (R, n), one row for each value. The points
    of a row are contiguous, so every loop runs along a row. The rows are the inputs of the first layer, a row of
    ones, the inputs of the second layer, a row of ones, and so on to the logits; then three rows for the loss, the last
    of which holds the labels. The row of ones makes a bias a weight like the others. *Tape_grad* has the same rows, for
    the derivatives of the loss by these values. The loops allocate nothing but views.

Weights
    One float32 vector (P,): layer by layer, for each output the weights of its inputs and then its bias. After the last
    layer follows the skip connection in the same order, if the network has one. *Weight_grad* has the same order.

Order of sums
    The compiler may reorder sums, always in the same way. Results therefore do not depend on what else the machine
    does, and one seed gives the same weights, bit for bit.
"""
