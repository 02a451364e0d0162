"""Inference: class probabilities of points, and a response or all outputs of points or on a grid."""

from models.kernel.compiling import entry, loop
from models.kernel.functions import F, exp_negative, log1p_unit, log_above_one, sigmoid
from models.kernel.passes import b1, fill_ones, find_max, forward, tape_rows, view
from models.kernel.structures import ENTROPY, LABEL, LOGIT, SPARE_ROWS

BITS_PER_NAT = F(1.44269504)  # 1 / ln 2


@loop
def _finite(tape, logit_row, outputs):
    total = F(0)
    for o in range(logit_row, logit_row + outputs):
        for k in range(tape.shape[1]):
            total += tape[o, k] * F(0)
    return total == F(0)


@loop
def _softmax(tape, logit_row, outputs):
    """Replaces the logits by exponentials, and writes the inverse of their sum into the row after the maximum."""
    max_row = tape.shape[0] - SPARE_ROWS
    for k in range(tape.shape[1]):
        tape[max_row + 1, k] = F(0)
    for o in range(logit_row, logit_row + outputs):
        for k in range(tape.shape[1]):
            e = exp_negative(tape[o, k] - tape[max_row, k])
            tape[o, k] = e
            tape[max_row + 1, k] += e
    for k in range(tape.shape[1]):
        tape[max_row + 1, k] = F(1) / tape[max_row + 1, k]


@entry
def probabilities(net, xy_ND, workspace, prob_NK):
    """Writes the class probabilities of points, float32 (N, D), into `prob_NK`, float32 (N, K).

    Returns whether all logits are finite.
    """
    widths = net.widths
    tape_memory, _, slopes_memory, _, block = workspace
    rows, logit_row = tape_rows(widths)
    outputs = widths[-1]
    finite = True
    for start in range(0, xy_ND.shape[0], block):
        n = min(block, xy_ND.shape[0] - start)
        tape = view(tape_memory, rows, n)
        slopes = view(slopes_memory, rows, n) if slopes_memory.size else tape
        block_ND = xy_ND[start : start + n]
        for d in range(widths[0]):
            for k in range(n):
                tape[d, k] = block_ND[k, d]
        fill_ones(widths, tape)
        forward(net, tape, slopes, b1(False))
        finite = finite and _finite(tape, logit_row, outputs)
        block_NK = prob_NK[start : start + n]
        if outputs == 1:
            for k in range(n):
                block_NK[k, 0] = sigmoid(-tape[logit_row, k])
                block_NK[k, 1] = sigmoid(tape[logit_row, k])
        else:
            find_max(tape, logit_row, outputs)
            _softmax(tape, logit_row, outputs)
            for o in range(outputs):
                for k in range(n):
                    block_NK[k, o] = tape[logit_row + o, k] * tape[rows - SPARE_ROWS + 1, k]
    return finite


@loop
def _entropy(tape, logit_row, outputs, out):
    """Writes the entropy of the class probabilities, in bits, into `out`, float32 (n,).

    For two classes, log(1 + e^-|z|) + |z| sigmoid(-|z|). For more, log S + sum e^d |d| / S, where d <= 0 is a logit
    less the greatest one and S the sum of e^d. All terms are positive, so nothing cancels.
    """
    n = out.size
    max_row = tape.shape[0] - SPARE_ROWS
    sum_row = max_row + 1
    if outputs == 1:
        for k in range(n):
            z = abs(tape[logit_row, k])
            e = exp_negative(-z)
            out[k] = BITS_PER_NAT * (log1p_unit(e) + z * (e / (F(1) + e)))
        return
    find_max(tape, logit_row, outputs)
    for k in range(n):
        tape[sum_row, k] = F(0)
        out[k] = F(0)
    for o in range(logit_row, logit_row + outputs):
        for k in range(n):
            d = tape[o, k] - tape[max_row, k]
            d = F(-88) if d < F(-88) else d  # 0 times infinity would be NaN
            e = exp_negative(d)
            tape[sum_row, k] += e
            out[k] -= e * d
    for k in range(n):
        out[k] = BITS_PER_NAT * (log_above_one(tape[sum_row, k]) + out[k] / tape[sum_row, k])


@loop
def _respond(tape, logit_row, outputs, response, class_index, out):
    """Writes the response of one row of a grid, or a part of it, into `out`, float32 (n,), from its logits."""
    n = out.size
    max_row = tape.shape[0] - SPARE_ROWS
    if response == ENTROPY:
        _entropy(tape, logit_row, outputs, out)
    elif outputs == 1:
        sign = F(1) if class_index == 1 else F(-1)
        if response == LABEL:
            for k in range(n):
                out[k] = F(1) if tape[logit_row, k] > F(0) else F(0)
        elif response == LOGIT:
            for k in range(n):
                out[k] = sign * tape[logit_row, k]
        else:
            for k in range(n):
                out[k] = sigmoid(sign * tape[logit_row, k])
    elif response == LOGIT:
        for k in range(n):
            out[k] = tape[logit_row + class_index, k]
    else:
        find_max(tape, logit_row, outputs)
        if response == LABEL:
            for k in range(n):
                out[k] = tape[max_row + 1, k]
        else:
            _softmax(tape, logit_row, outputs)
            for k in range(n):
                out[k] = tape[logit_row + class_index, k] * tape[max_row + 1, k]


@entry
def responses(net, input_NI, workspace, response, class_index, values_N, output_ON, first):
    """Writes a response and all outputs of points into `values_N` and `output_ON`, from their column `first` on.

    All are float32. Either may be empty, and is then not computed. Returns whether all logits are finite.
    """
    widths = net.widths
    tape_memory, _, slopes_memory, _, block = workspace
    rows, logit_row = tape_rows(widths)
    outputs = widths[-1]
    finite = True
    for start in range(0, input_NI.shape[0], block):
        n = min(block, input_NI.shape[0] - start)
        tape = view(tape_memory, rows, n)
        slopes = view(slopes_memory, rows, n) if slopes_memory.size else tape
        for i in range(widths[0]):
            for k in range(n):
                tape[i, k] = input_NI[start + k, i]
        fill_ones(widths, tape)
        forward(net, tape, slopes, b1(False))
        finite = finite and _finite(tape, logit_row, outputs)
        at = first + start
        if output_ON.size:
            for o in range(outputs):
                for k in range(n):
                    output_ON[o, at + k] = tape[logit_row + o, k]
        if values_N.size:  # this may overwrite the logits on the tape
            _respond(tape, logit_row, outputs, response, class_index, values_N[at : at + n])
    return finite


@entry
def grid(net, x_W, y_h, workspace, response, class_index, values_HW, output_OHW, first):
    """Writes a response and all outputs of some rows of a grid into `values_HW` and `output_OHW`, from `first` on.

    All are float32. Either may be empty, and is then not computed. The points are never materialised: in the first
    layer, y contributes one number for each row of the grid. Returns whether all logits are finite.
    """
    widths, _, has_skip, weights = net
    tape_memory, _, slopes_memory, _, block = workspace
    rows, logit_row = tape_rows(widths)
    outputs = widths[-1]
    finite = True
    for start in range(0, x_W.size, block):
        n = min(block, x_W.size - start)
        tape = view(tape_memory, rows, n)
        slopes = view(slopes_memory, rows, n) if slopes_memory.size else tape
        fill_ones(widths, tape)
        x_n = x_W[start : start + n]
        for h in range(y_h.size):
            y = y_h[h]
            if has_skip:
                for k in range(n):
                    tape[0, k] = x_n[k]
                    tape[1, k] = y
            for o in range(widths[1]):
                constant = weights[3 * o + 1] * y + weights[3 * o + 2]
                weight = weights[3 * o]
                for k in range(n):
                    tape[3 + o, k] = constant + weight * x_n[k]
            forward(net, tape, slopes, b1(True))
            finite = finite and _finite(tape, logit_row, outputs)
            if output_OHW.size:
                for o in range(outputs):
                    out = output_OHW[o, first + h, start : start + n]
                    for k in range(n):
                        out[k] = tape[logit_row + o, k]
            if values_HW.size:  # this may overwrite the logits on the tape
                _respond(tape, logit_row, outputs, response, class_index, values_HW[first + h, start : start + n])
    return finite
