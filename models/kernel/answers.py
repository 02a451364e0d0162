"""What a network answers: class probabilities of points, and a response on a grid."""

from models.kernel.compiling import entry, loop
from models.kernel.functions import F, exp_negative, sigmoid
from models.kernel.passes import b1, fill_ones, find_greatest, forward, tape_rows, view
from models.kernel.structures import LABEL, LOGIT, SPARE_ROWS


@loop
def _finite(tape, logits, outputs):
    total = F(0)
    for o in range(logits, logits + outputs):
        for k in range(tape.shape[1]):
            total += tape[o, k] * F(0)
    return total == F(0)


@loop
def _softmax(tape, logits, outputs):
    """Replaces the logits by their exponentials, and the spare row behind the greatest by the inverse of their sum."""
    greatest = tape.shape[0] - SPARE_ROWS
    for k in range(tape.shape[1]):
        tape[greatest + 1, k] = F(0)
    for o in range(logits, logits + outputs):
        for k in range(tape.shape[1]):
            e = exp_negative(tape[o, k] - tape[greatest, k])
            tape[o, k] = e
            tape[greatest + 1, k] += e
    for k in range(tape.shape[1]):
        tape[greatest + 1, k] = F(1) / tape[greatest + 1, k]


@entry
def probabilities(net, xy_ND, memory, prob_NK):
    """Class probabilities of points float32 (N, D) into float32 (N, K); False if a logit is not finite."""
    widths, codes, branch, weights = net
    tapes, _, all_slopes, _, block = memory
    rows, logits = tape_rows(widths)
    outputs = widths[-1]
    finite = True
    for start in range(0, xy_ND.shape[0], block):
        n = min(block, xy_ND.shape[0] - start)
        tape = view(tapes, rows, n)
        slopes = view(all_slopes, rows, n) if all_slopes.size else tape
        block_ND = xy_ND[start : start + n]
        for d in range(widths[0]):
            for k in range(n):
                tape[d, k] = block_ND[k, d]
        fill_ones(widths, tape)
        forward(widths, codes, branch, weights, tape, slopes, b1(False))
        finite = finite and _finite(tape, logits, outputs)
        block_NK = prob_NK[start : start + n]
        if outputs == 1:
            for k in range(n):
                block_NK[k, 0] = sigmoid(-tape[logits, k])
                block_NK[k, 1] = sigmoid(tape[logits, k])
        else:
            find_greatest(tape, logits, outputs)
            _softmax(tape, logits, outputs)
            for o in range(outputs):
                for k in range(n):
                    block_NK[k, o] = tape[logits + o, k] * tape[rows - SPARE_ROWS + 1, k]
    return finite


@loop
def _respond(tape, logits, outputs, response, chosen, out):
    """One row of a grid, or a part of it, from its logits: float32 (n,)."""
    n = out.size
    greatest = tape.shape[0] - SPARE_ROWS
    if outputs == 1:
        sign = F(1) if chosen == 1 else F(-1)
        if response == LABEL:
            for k in range(n):
                out[k] = F(1) if tape[logits, k] > F(0) else F(0)
        elif response == LOGIT:
            for k in range(n):
                out[k] = sign * tape[logits, k]
        else:
            for k in range(n):
                out[k] = sigmoid(sign * tape[logits, k])
    elif response == LOGIT:
        for k in range(n):
            out[k] = tape[logits + chosen, k]
    else:
        find_greatest(tape, logits, outputs)
        if response == LABEL:
            for k in range(n):
                out[k] = tape[greatest + 1, k]
        else:
            _softmax(tape, logits, outputs)
            for k in range(n):
                out[k] = tape[logits + chosen, k] * tape[greatest + 1, k]


@entry
def grid(net, x_W, y_H, memory, response, chosen, values_HW):
    """A response at every cell of a grid, abscissas float32 (W,) and ordinates (H,); False if a logit is not finite.

    The points are not laid out: in the first layer, what y adds is one number for each row of the grid.
    """
    widths, codes, branch, weights = net
    tapes, _, all_slopes, _, block = memory
    rows, logits = tape_rows(widths)
    outputs = widths[-1]
    finite = True
    for start in range(0, x_W.size, block):
        n = min(block, x_W.size - start)
        tape = view(tapes, rows, n)
        slopes = view(all_slopes, rows, n) if all_slopes.size else tape
        fill_ones(widths, tape)
        x_n = x_W[start : start + n]
        for h in range(y_H.size):
            y = y_H[h]
            if branch:
                for k in range(n):
                    tape[0, k] = x_n[k]
                    tape[1, k] = y
            for o in range(widths[1]):
                constant = weights[3 * o + 1] * y + weights[3 * o + 2]
                weight = weights[3 * o]
                for k in range(n):
                    tape[3 + o, k] = constant + weight * x_n[k]
            forward(widths, codes, branch, weights, tape, slopes, b1(True))
            finite = finite and _finite(tape, logits, outputs)
            _respond(tape, logits, outputs, response, chosen, values_HW[h, start : start + n])
    return finite
