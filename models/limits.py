"""The upper bounds of all requests, each with its reason."""

MAX_SEED = 2**32 - 1  # of NumPy's legacy generator
MAX_POINTS = 100_000  # of a dataset: more is no longer "small"
MAX_STORED_POINTS = 10_000_000  # of a dataset in the data folder
MAX_STORED_VALUES = 2 * 10**8  # points x features of such a dataset: 0.8 GB of float32
MAX_FEATURES = 1_000
MAX_CLASSES = 100
MAX_NAME_LENGTH = 256  # characters of the name of a feature
MIN_CLASS_WEIGHT, MAX_CLASS_WEIGHT = 1e-6, 1e6  # their products with gradients are far from the ends of float32
MIN_FEATURE_WEIGHT, MAX_FEATURE_WEIGHT = 1e-3, 1e3  # beyond these, a feature has no effect, or hides all others
MAX_LABEL_LENGTH = 64  # characters
MAX_CATEGORIES = 50  # values of a text column, each of which becomes a feature: more are usually names or ids
MAX_LABEL_NUMBER = 2**53 - 1  # every JSON reader keeps integers up to here exact
MAX_TABLE_BYTES = 2**32  # of a CSV file: MAX_STORED_VALUES with 20 characters each
MAX_LINE_LENGTH = 2**20  # characters: MAX_FEATURES need some 25,000
MAX_NOISE = 100.0
MAX_HIDDEN_LAYERS = 16
MAX_WIDTH = 1_024
MAX_INPUTS = 1_024  # terms of derived inputs: about as many as features, so points need no more memory
MAX_INPUT_LENGTH = 2 * MAX_NAME_LENGTH + 16  # characters of a term: two names of features and what is between them
MAX_WEIGHTS = 4_000_000  # 16 MB of float32 for each checkpoint
MAX_EPOCHS = 1_000_000
MAX_RESTARTS = 1_000
MAX_ENSEMBLE = 16  # networks of a version: each multiplies the cost of a prediction; more change the mean little
MAX_REPEAT = 1_000  # of a correction: then ten corrections are a tenth of MAX_POINTS
MAX_LEARNING_RATE = 1_000.0
MAX_WEIGHT_DECAY = 100.0
MAX_FOLDS = 20  # of a cross-validation: as many trainings
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.02, 50.0  # of logits: beyond them, probabilities are all equal, or 0 and 1
MAX_LBFGS_EVALUATIONS = 12  # of loss and gradient in an epoch of L-BFGS; most epochs take one
LBFGS_MEMORY = 10  # steps that L-BFGS remembers: the usual number; each costs the memory of two sets of weights
MAX_WORK = 10**13  # restarts x epochs x evaluations of each x points x weights: some hours of one core
MAX_STEPS = 10**8  # of the optimizer, at a fraction of a millisecond each: also some hours of one core
MAX_STEP_VALUES = 10**8  # points of a step x values of each in all layers: a few GB in torch
MAX_ANSWER_WORK = 3 * 10**10  # points x weights of a prediction or grid: about a second of one core
MAX_ANSWER_VALUES = 4_000_000  # points x classes of a prediction: some 50 MB of JSON
MAX_NEAREST_POINTS = 1_000  # with a search for the nearest change of label: one or two milliseconds each
MAX_NEAREST_WORK = 5 * 10**9  # multiplications of all searches of a request: at most some seconds of one core
MAX_RESOLUTION = 4_096  # columns, or rows, of a grid
MAX_GRID_CELLS = 1_048_576  # 1024 x 1024
MAX_ADAPTIVE_RESOLUTION = 8_192  # of a grid whose cells are mostly proven instead of computed
MAX_GRID_VALUES = 2**24  # outputs x cells of a grid that shows all outputs: 64 MiB of float32, at most 4 at a time
MAX_KEPT_VERSIONS = 1_000_000  # of a model: more would mean all
MAX_ALIASES = 100  # of a model: its list is one page
MAX_LEVELS = 20  # probabilities in one request for boundary lines
MAX_LINE_VERTICES = 500_000  # of all lines of a response: some 20 MB of JSON
MAX_COORDINATE = 1e30  # of a point: keeps sums finite in float32
MAX_WINDOW = 1e31  # of the edges of a grid: leaves a margin around any points
MAX_MARGIN = 4.0  # ranges of the data on each side of a window: the edges stay below MAX_WINDOW for any points
MAX_DISTANCE = 1_000.0  # standard deviations from a plane: points farther off have faded long before
MAX_CHECKPOINT_BYTES = 2**30  # of a checkpoint to import, decompressed: MAX_WEIGHTS with the state of Adam are 96 MB
MAX_ARCHIVE_MEMBERS = 20_000  # of a checkpoint that is a zip archive: one for each tensor
MAX_CHECKPOINT_ENTRIES = 100_000  # values of dictionaries and lists in a checkpoint
MAX_CHECKPOINT_DEPTH = 32  # of its dictionaries and lists within each other
MAX_PICKLE_BYTES = 2**24  # of the part that names the tensors: it is read slowly, an instruction at a time
MAX_REPLAY_S = 10.0  # estimated time of one core to train a version again up to an epoch: a client waits for it

MAX_SNAPSHOTS = 200
"""Maximum number of epochs whose weights a training keeps: more than a slider has positions."""

MAX_SNAPSHOT_BYTES = 32 * 2**20
"""Maximum total size of these weights, in bytes. They are held in memory until the training ends."""
