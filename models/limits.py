"""The bounds of everything that can be asked for, each with its reason."""

MAX_SEED = 2**32 - 1  # what NumPy's legacy generator takes
MAX_POINTS = 100_000  # of one data set: more is no longer "small"
MAX_FEATURES = 1_000
MAX_CLASSES = 100
MAX_LABEL_LENGTH = 64  # characters
MAX_LABEL_NUMBER = 2**53 - 1  # the integers that every JSON reader keeps exact
MAX_NOISE = 100.0
MAX_HIDDEN_LAYERS = 16
MAX_WIDTH = 1_024
MAX_WEIGHTS = 4_000_000  # 16 MB of float32 to a checkpoint
MAX_EPOCHS = 1_000_000
MAX_RESTARTS = 1_000
MAX_LEARNING_RATE = 1_000.0
MAX_WEIGHT_DECAY = 100.0
MAX_WORK = 10**13  # restarts x epochs x points x weights: some hours of one core
MAX_STEPS = 10**8  # of the optimiser, a fraction of a millisecond each: some hours of one core too
MAX_BATCH_VALUES = 10**8  # points of a step x values that each has in all layers: torch then needs a few GB
MAX_ANSWER_WORK = 3 * 10**10  # points x weights of one prediction or grid: about a second of one core
MAX_ANSWER_VALUES = 4_000_000  # points x classes of one prediction: some 50 MB of JSON
MAX_NEAREST_POINTS = (
    1_000  # whose nearest change of label is searched for: a millisecond or two each, of small networks
)
MAX_NEAREST_WORK = 5 * 10**9  # of all searches of a request, in multiplications: some seconds of one core at most
MAX_RESOLUTION = 4_096  # columns, or rows, of a grid
MAX_GRID_CELLS = 1_048_576  # 1024 x 1024
MAX_ADAPTIVE_RESOLUTION = 8_192  # of a grid whose cells are mostly proven in place of computed
MAX_GRID_VALUES = 2**24  # outputs x cells of a grid that shows them all: 64 MiB of float32, and 4 such at a time
MAX_LEVELS = 20  # of a probability, for which lines are drawn at once
MAX_LINE_VERTICES = 500_000  # of all lines of an answer: some 20 MB of JSON
MAX_COORDINATE = 1e30  # of a point: keeps the sums of float32 arithmetic finite
MAX_WINDOW = 1e31  # of a grid's edges: wide enough for a margin around any points
