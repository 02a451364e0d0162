"""What a network answers: class probabilities of points, and a response on a grid."""

from models.kernel.compiling import entry, loop
from models.kernel.functions import F, exp_negative, log1p_unit, log_above_one, sigmoid
from models.kernel.passes import b1, fill_ones, find_greatest, forward, tape_rows, view
from models.kernel.structures import ENTROPY, LABEL, LOGIT, SPARE_ROWS

BITS = F(1.44269504)  # of a nat: 1 / ln 2


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
    widths, codes, skip, weights = net
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
        forward(widths, codes, skip, weights, tape, slopes, b1(False))
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
def _entropy(tape, logits, outputs, out):
    """Of the class probabilities, in bits, float32 (n,): sums of positive terms, so that nothing cancels.

    Of two classes log(1 + e^-|z|) + |z| sigmoid(-|z|); of more log S + sum e^d |d| / S, with d <= 0 what a logit lacks
    to the greatest and S the sum of their exponentials.
    """
    n = out.size
    greatest = tape.shape[0] - SPARE_ROWS
    total = greatest + 1
    if outputs == 1:
        for k in range(n):
            z = abs(tape[logits, k])
            e = exp_negative(-z)
            out[k] = BITS * (log1p_unit(e) + z * (e / (F(1) + e)))
        return
    find_greatest(tape, logits, outputs)
    for k in range(n):
        tape[total, k] = F(0)
        out[k] = F(0)
    for o in range(logits, logits + outputs):
        for k in range(n):
            d = tape[o, k] - tape[greatest, k]
            d = F(-88) if d < F(-88) else d  # 0 times what overflows would be no number
            e = exp_negative(d)
            tape[total, k] += e
            out[k] -= e * d
    for k in range(n):
        out[k] = BITS * (log_above_one(tape[total, k]) + out[k] / tape[total, k])


@loop
def _respond(tape, logits, outputs, response, chosen, out):
    """One row of a grid, or a part of it, from its logits: float32 (n,)."""
    n = out.size
    greatest = tape.shape[0] - SPARE_ROWS
    if response == ENTROPY:
        _entropy(tape, logits, outputs, out)
    elif outputs == 1:
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
def grid(net, x_W, y_H, memory, response, chosen, values_HW, output_OHW):
    """A response, and all outputs, at every cell of a grid of x float32 (W,) by y float32 (H,).

    Writes into float32 (H, W) and (O, H, W); either may be empty if it is not wanted. Returns False if an output is not
    finite. The points are not laid out: in the first layer, y adds one number to each row of the grid.
    """
    widths, codes, skip, weights = net
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
            if skip:
                for k in range(n):
                    tape[0, k] = x_n[k]
                    tape[1, k] = y
            for o in range(widths[1]):
                constant = weights[3 * o + 1] * y + weights[3 * o + 2]
                weight = weights[3 * o]
                for k in range(n):
                    tape[3 + o, k] = constant + weight * x_n[k]
            forward(widths, codes, skip, weights, tape, slopes, b1(True))
            finite = finite and _finite(tape, logits, outputs)
            if output_OHW.size:
                for o in range(outputs):
                    out = output_OHW[o, h, start : start + n]
                    for k in range(n):
                        out[k] = tape[logits + o, k]
            if values_HW.size:  # may overwrite the outputs on the tape
                _respond(tape, logits, outputs, response, chosen, values_HW[h, start : start + n])
    return finite
