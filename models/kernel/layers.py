"""What dense layers do to the rows of a tape: weighted sums of rows, and products of rows."""

from models.kernel.activations import tanh_slope
from models.kernel.compiling import loop
from models.kernel.functions import F

FROM_ZERO, FROM_BIAS, FROM_TARGET = range(3)
"""What `linear` starts a sum from."""


@loop
def linear(start, target, t, targets, weights, w, target_step, source_step, source, s, sources):
    """For each o below `targets`: target[t + o] = the sum over i of a weight times source[s + i].

    The weight is weights[w + o * target_step + i * source_step]. The sum starts from 0 (`FROM_ZERO`), from the weight
    after the last (`FROM_BIAS`), or from the present content of the target (`FROM_TARGET`).

    Sums four rows at a time: for no more than that does the compiler prove that they do not overlap the target, so
    it can process eight points at once.
    """
    n = target.shape[1]
    for o in range(targets):
        z = t + o
        v = w + o * target_step
        bias = weights[v + sources * source_step] if start == FROM_BIAS else F(0)
        for i in range(0, sources, 4):
            many = min(4, sources - i)
            r = s + i
            w0 = weights[v + i * source_step]
            w1 = weights[v + (i + 1) * source_step] if many > 1 else F(0)
            w2 = weights[v + (i + 2) * source_step] if many > 2 else F(0)
            w3 = weights[v + (i + 3) * source_step] if many > 3 else F(0)
            if i > 0 or start == FROM_TARGET:
                if many == 1:
                    for k in range(n):
                        target[z, k] += w0 * source[r, k]
                elif many == 2:
                    for k in range(n):
                        target[z, k] += w0 * source[r, k] + w1 * source[r + 1, k]
                elif many == 3:
                    for k in range(n):
                        target[z, k] += w0 * source[r, k] + (w1 * source[r + 1, k] + w2 * source[r + 2, k])
                else:
                    for k in range(n):
                        target[z, k] += (w0 * source[r, k] + w1 * source[r + 1, k]) + (
                            w2 * source[r + 2, k] + w3 * source[r + 3, k]
                        )
            elif many == 1:
                for k in range(n):
                    target[z, k] = bias + w0 * source[r, k]
            elif many == 2:
                for k in range(n):
                    target[z, k] = (bias + w0 * source[r, k]) + w1 * source[r + 1, k]
            elif many == 3:
                for k in range(n):
                    target[z, k] = (bias + w0 * source[r, k]) + (w1 * source[r + 1, k] + w2 * source[r + 2, k])
            else:
                for k in range(n):
                    target[z, k] = ((bias + w0 * source[r, k]) + w1 * source[r + 1, k]) + (
                        w2 * source[r + 2, k] + w3 * source[r + 3, k]
                    )


@loop
def linear_backward_through_tanh(tape_grad, a, inputs, weights, w, z, tape):
    """Does the work of `linear` and `activation_backward` in one loop, for one output above a layer of tanh.

    This is the tutorial's network, whose epoch takes a twentieth less time this way.
    """
    for i in range(inputs):
        weight = weights[w + i]
        r = a + i
        for k in range(tape.shape[1]):
            tape_grad[r, k] = weight * tape_grad[z, k] * tanh_slope(tape[r, k])


@loop
def accumulate_weight_grad(weight_grad, g, tape_grad, b, outputs, tape, a, rows):
    """Adds to `weight_grad`, from index g on, the products of `outputs` rows of `tape_grad` with `rows` rows of a tape.

    Works on as many rows at a time as the processor has registers for: one with eight, four with three, or two with
    four. If fewer rows are left, the last one is used again and the surplus products are dropped.
    """
    if outputs == 1:
        for i in range(0, rows, 8):
            _one_by_eight(weight_grad, g + i, tape_grad, b, tape, a + i, min(rows - i, 8))
    elif rows <= 3:
        for o in range(0, outputs, 4):
            _four_by_three(weight_grad, g + o * rows, tape_grad, b + o, min(outputs - o, 4), tape, a, rows)
    else:
        for o in range(0, outputs, 2):
            for i in range(0, rows, 4):
                many, outs = min(rows - i, 4), min(outputs - o, 2)
                _two_by_four(weight_grad, g + o * rows + i, rows, tape_grad, b + o, outs, tape, a + i, many)


@loop
def _one_by_eight(weight_grad, g, tape_grad, b, tape, a, rows):
    last = a + rows - 1
    a1, a2, a3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
    a4, a5, a6, a7 = min(a + 4, last), min(a + 5, last), min(a + 6, last), min(a + 7, last)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = F(0)
    for k in range(tape.shape[1]):
        x = tape_grad[b, k]
        s0 += x * tape[a, k]
        s1 += x * tape[a1, k]
        s2 += x * tape[a2, k]
        s3 += x * tape[a3, k]
        s4 += x * tape[a4, k]
        s5 += x * tape[a5, k]
        s6 += x * tape[a6, k]
        s7 += x * tape[a7, k]
    _add(weight_grad, g, rows, s0, s1, s2, s3)
    if rows > 4:
        _add(weight_grad, g + 4, rows - 4, s4, s5, s6, s7)


@loop
def _four_by_three(weight_grad, g, tape_grad, b, outputs, tape, a, rows):
    last = b + outputs - 1
    b1, b2, b3 = min(b + 1, last), min(b + 2, last), min(b + 3, last)
    a1, a2 = a + min(1, rows - 1), a + min(2, rows - 1)
    p0 = p1 = p2 = q0 = q1 = q2 = r0 = r1 = r2 = s0 = s1 = s2 = F(0)
    for k in range(tape.shape[1]):
        x = tape[a, k]
        y = tape[a1, k]
        z = tape[a2, k]
        p0 += tape_grad[b, k] * x
        p1 += tape_grad[b, k] * y
        p2 += tape_grad[b, k] * z
        q0 += tape_grad[b1, k] * x
        q1 += tape_grad[b1, k] * y
        q2 += tape_grad[b1, k] * z
        r0 += tape_grad[b2, k] * x
        r1 += tape_grad[b2, k] * y
        r2 += tape_grad[b2, k] * z
        s0 += tape_grad[b3, k] * x
        s1 += tape_grad[b3, k] * y
        s2 += tape_grad[b3, k] * z
    _add(weight_grad, g, rows, p0, p1, p2, F(0))
    if outputs > 1:
        _add(weight_grad, g + rows, rows, q0, q1, q2, F(0))
    if outputs > 2:
        _add(weight_grad, g + 2 * rows, rows, r0, r1, r2, F(0))
    if outputs > 3:
        _add(weight_grad, g + 3 * rows, rows, s0, s1, s2, F(0))


@loop
def _two_by_four(weight_grad, g, stride, tape_grad, b, outputs, tape, a, rows):
    b1 = b + outputs - 1
    last = a + rows - 1
    a1, a2, a3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
    p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = F(0)
    for k in range(tape.shape[1]):
        x = tape_grad[b, k]
        y = tape_grad[b1, k]
        p0 += x * tape[a, k]
        q0 += y * tape[a, k]
        p1 += x * tape[a1, k]
        q1 += y * tape[a1, k]
        p2 += x * tape[a2, k]
        q2 += y * tape[a2, k]
        p3 += x * tape[a3, k]
        q3 += y * tape[a3, k]
    _add(weight_grad, g, rows, p0, p1, p2, p3)
    if outputs > 1:
        _add(weight_grad, g + stride, rows, q0, q1, q2, q3)


@loop
def _add(weight_grad, g, many, s0, s1, s2, s3):
    weight_grad[g] += s0
    if many > 1:
        weight_grad[g + 1] += s1
    if many > 2:
        weight_grad[g + 2] += s2
    if many > 3:
        weight_grad[g + 3] += s3
