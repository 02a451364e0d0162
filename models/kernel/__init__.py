"""Dense networks in compiled loops, float32, on one thread: the training, the forward pass and the grid.

`models.inference.compiled` is the way in; nothing else calls what is here. numba compiles each entry (`steps.advance`,
`steps.measure`, `answers.probabilities`, `answers.grid`) when it is first called, once per machine: the machine code is
kept on disk, see `compiling`.

Memory
    A *tape* holds what one block of points makes of a network: float32 (R, n), a row for each value, the points of a
    row contiguous, so that every loop runs along a row. Its rows are the inputs of the first layer, a row of ones, the
    inputs of the second layer, a row of ones, and so on to the logits; then three rows for the loss, the last of which
    holds the labels. The row of ones makes a bias a weight like the others. *Backs* has the same rows, for the
    derivatives of the loss. Nothing is allocated but views of these.

Weights
    One float32 vector (P,): layer by layer, for each output the weights of its inputs and then its bias; behind the
    last layer, in the same order, the linear branch from input to output, if there is one.

Order of sums
    The compiler may reorder them, always in the same way. So results do not depend on what else the machine does, and
    one seed gives one set of weights, to the bit.
"""
