"""A trained network that needs NumPy alone.

In a program, `predict(points)` returns the class of each point and `probabilities(points)` the probabilities of all
classes, for points (N, D) in the order of FEATURES and in the units of the training data. On the command line,

    python this_file.py < points.csv

reads CSV with one point on each line. A heading may name the columns in any order; without one they are in the order of
FEATURES. It prints the label and the probability of each class as CSV.
"""

import csv
import functools
import io
import math
import os
import sys

import numpy as np

# An example, which an export replaces by the numbers of its network.
MODEL = "example"
VERSION = 1
NETWORK = {"format_version": 1}  # its architecture, for Separatrix, which imports this file without running it
CLASSES = ["below", "above"]
FEATURES = ["x1", "x2"]
FEATURES_HAVE_NAMES = False

# The values of each column of text. Its features are named `column=value`; they are 1 where the column has the value.
CATEGORIES: dict[str, list[str]] = {}

# What is subtracted from each coordinate, then what it is divided by, in double precision; None if nothing.
OFFSET = None
DIVISOR = None

# The inputs of the first layer: the product, the sine or the cosine of these coordinates. None: the coordinates.
TERMS = None

# Name, activation and parameters of each layer. Each line is one output: the weights of its inputs, then its bias.
LAYERS = [("0", "identity", "-1.0 1.0 0.0")]

# The parameters of a linear layer from the inputs directly to the output; None without one.
SKIP = None

# LAYERS and SKIP of each network of an ensemble, which answers with the mean of their probabilities; None if there is
# only one network.
MEMBERS = None

BLOCK = 4096  # points that are computed at once
LARGEST = 1e30  # coordinate; sums of such numbers are finite

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.maximum(x, float(np.float32(0.01)) * x),
    "elu": lambda x: np.maximum(x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x * (1 / (1 + np.exp(-x))),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))),
    "softplus": lambda x: np.logaddexp(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "identity": lambda x: x,
}


def predict(points):
    """The class of each point: the most probable one, and of equally probable ones the first."""
    return [CLASSES[k] for k in probabilities(points).argmax(axis=1)]


def probabilities(points):
    """The probability of each class at each point, float32 (N, K)."""
    logit = logits(points)
    with np.errstate(over="ignore"):  # where the exponential overflows, the probability is 0
        if len(CLASSES) == 2:
            return 1 / (1 + np.exp(np.column_stack([logit, -logit])))
        exp = np.exp(logit - logit.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def logits(points):
    """The output of the network, float32: for two classes (N, 1), the log-odds of the second, else (N, K).

    For an ensemble, the logits whose probabilities are the mean.

    Raises:
        ValueError: the points do not have the right shape, or a number is too large or not a number.
    """
    points = np.asarray(points)
    if points.dtype != np.float32:
        points = points.astype(np.float64)
    if points.ndim != 2 or points.shape[1] != len(FEATURES):
        raise ValueError(f"points must have the shape (N, {len(FEATURES)}), not {points.shape}")
    if not (np.abs(points) <= LARGEST).all():
        raise ValueError(f"points must be numbers between -{LARGEST} and {LARGEST}")
    blocks = [_logits(points[start : start + BLOCK]) for start in range(0, len(points), BLOCK)]
    return np.concatenate(blocks or [np.empty((0, 1 if len(CLASSES) == 2 else len(CLASSES)), np.float32)])


def _logits(points):
    with np.errstate(over="ignore", invalid="ignore"):  # checked below
        x = _inputs(points)
        outputs = [_forward(x, layers, skip) for layers, skip in _NETWORKS]
    if not np.isfinite(outputs).all():
        raise ValueError("points must be smaller numbers: the output of the network overflows float32")
    return outputs[0] if len(outputs) == 1 else _mean_logits(outputs)


def _mean_logits(outputs):
    """The logits whose probabilities are the mean over some networks, by logarithms in double precision."""
    total = functools.reduce(np.logaddexp, map(_log_probabilities, outputs))
    if len(CLASSES) == 2:
        return (total[:, 1:] - total[:, :1]).astype(np.float32)
    return (total - math.log(len(outputs))).astype(np.float32)


def _log_probabilities(logit):
    wide = logit.astype(np.float64)
    if len(CLASSES) == 2:
        wide = np.column_stack([np.zeros(len(wide)), wide])
    wide -= wide.max(axis=1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))


def _inputs(points):
    """The inputs of the first layer, float32 (I, N). The transform is computed in double precision."""
    columns = points.T
    if OFFSET is not None:
        columns = columns - np.array(OFFSET)[:, None]
    if DIVISOR is not None:
        columns = columns / np.array(DIVISOR)[:, None]
    if TERMS is not None:
        columns = np.stack([_term(function, columns[list(of)]) for function, of in TERMS])
    return np.ascontiguousarray(columns, np.float32)


def _term(function, columns):
    if function == "product":
        return columns[0] * columns[1] if len(columns) == 2 else columns[0]
    return np.sin(columns[0]) if function == "sin" else np.cos(columns[0])


def _forward(x, layers, skip):
    values = x
    for activation, parameters in layers:
        values = ACTIVATIONS[activation](parameters[:, :-1] @ values + parameters[:, -1:])
    if skip is not None:
        values = values + skip[:, :-1] @ x + skip[:, -1:]
    return np.ascontiguousarray(values.T)  # the order in memory decides in which order sums are computed


def _network(layers, skip):
    """The layers and the skip connection of a network as arrays."""
    return [(activation, _matrix(text)) for _, activation, text in layers], None if skip is None else _matrix(skip)


def _matrix(text):
    return np.array([[float(number) for number in line.split()] for line in text.strip().splitlines()], np.float32)


_NETWORKS = [_network(*one) for one in MEMBERS or [(LAYERS, SKIP)]]


def read_points(lines, has_heading=None):
    """The points of a CSV file, float64 (N, D), from its lines.

    By default the first line is a heading if it names all features or contains no number. Columns that are not
    features are ignored; a line on standard error names them.

    Raises:
        ValueError: the file cannot be read without doubt. The message says why.
    """
    reader = csv.reader(lines)
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    if not rows:
        raise ValueError("there are no points")
    first = rows[0][1]
    if has_heading is None:
        has_heading = _is_heading(first)
    sources = _sources_by_name(first) if has_heading else None
    if sources is None:
        sources = _sources_by_position(len(first))
    used = {column for column, _, _ in sources}
    unused = [name for column, name in enumerate(first) if column not in used]
    if unused:
        print(f"{sys.argv[0]}: columns that are not used: {', '.join(map(repr, unused))}", file=sys.stderr)
    points = [_point(line, row, sources, len(first)) for line, row in rows[has_heading:]]
    return np.array(points, np.float64).reshape(-1, len(FEATURES))


def _is_heading(first):
    """Whether the first line names the columns. Numbers may be names or a point."""
    names_features = _names_features(first)
    is_counting = first == [str(d) for d in range(len(first))]
    if is_counting or (names_features and all(map(_is_number, first))):
        raise ValueError("the first line may be a heading or a point: give --heading or --no-heading")
    return names_features or not any(map(_is_number, first))


def _names_features(heading):
    try:
        return FEATURES_HAVE_NAMES and _sources_by_name(heading) is not None
    except ValueError:
        return False


def _sources_by_position(columns):
    if columns != len(FEATURES):
        raise ValueError(f"each line must have {len(FEATURES)} numbers, but the first one has {columns}")
    return [(column, None, None) for column in range(columns)]


def _sources_by_name(heading):
    """The source of each feature; None if the columns are in the order of the features.

    A source is the index of a column and, if the column has text, its values and the one that stands for 1.
    """
    sources, missing = [], []
    in_text = {f"{name}={value}": (name, values, value) for name, values in CATEGORIES.items() for value in values}
    for feature in FEATURES:
        name, values, value = (
            (feature, None, None) if feature in heading else in_text.get(feature, (feature, None, None))
        )
        if heading.count(name) > 1:
            raise ValueError(f"the heading repeats {name!r}")
        if name in heading:
            sources.append((heading.index(name), values, value))
        elif name not in missing:
            missing.append(name)
    if missing and not FEATURES_HAVE_NAMES and not sources:
        return None
    if missing:
        raise ValueError(f"the heading lacks {', '.join(map(repr, missing))}")
    return sources


def _point(line, row, sources, columns):
    """The coordinates of a point, from a row of texts."""
    if len(row) != columns:
        raise ValueError(f"line {line}: there are {len(row)} columns, but {columns} in the first line")
    return [
        _number(line, row[column]) if value is None else _indicator(line, row[column], values, value)
        for column, values, value in sources
    ]


def _number(line, text):
    if not _is_number(text):
        raise ValueError(f"line {line}: {text!r} is not a number")
    return float(text)


def _is_number(text):
    try:
        return abs(float(text)) <= LARGEST and "_" not in text
    except ValueError:
        return False


def _indicator(line, text, values, value):
    """1 where a column of text has the value, else 0."""
    if text not in values:
        raise ValueError(f"line {line}: {text!r} is not one of {', '.join(values)}")
    return float(text == value)


def main(arguments):
    """Reads CSV from standard input, and prints the label and the probabilities of each point.

    Returns:
        The exit status.
    """
    options = {"--heading": True, "--no-heading": False}
    if len(arguments) > 1 or any(argument not in options for argument in arguments):
        print(f"usage: {sys.argv[0]} [--heading | --no-heading] < points.csv", file=sys.stderr)
        return 2
    lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
    try:
        shares = probabilities(read_points(lines, *map(options.get, arguments)))
    except (OSError, ValueError, csv.Error) as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        return 2
    try:
        _print(shares)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python reports the error again
        if not isinstance(error, BrokenPipeError):  # the reader, such as head, closed the pipe
            print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        return 1
    return 0


def _print(shares):
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["label", *(f"p({label})" for label in CLASSES)])
    writer.writerows([CLASSES[row.argmax()], *map(str, row)] for row in shares)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
