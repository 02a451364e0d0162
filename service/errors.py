"""What can go wrong, by name. `api.problems` alone knows which HTTP status each is."""


class ServiceError(Exception):
    """Base of all. The message is for the client: it says what to do and holds no input, no path and no trace."""

    code = "error"
    title = "Error"


class ModelNotFound(ServiceError):
    """No version of a model of that name was ever published."""

    code = "model-not-found"
    title = "No such model"


class VersionNotFound(ServiceError):
    """The model has no version of that number."""

    code = "version-not-found"
    title = "No such version"


class VersionBroken(ServiceError):
    """The version was published, but its checkpoint is damaged."""

    code = "version-broken"
    title = "The version's checkpoint is damaged"


class DatasetNotFound(ServiceError):
    """No data set of that name."""

    code = "dataset-not-found"
    title = "No such data set"


class JobNotFound(ServiceError):
    """No job of that id."""

    code = "job-not-found"
    title = "No such job"


class WrongState(ServiceError):
    """What is asked for cannot be done with a job in that state."""

    code = "wrong-state"
    title = "The job's state does not allow that"


class KeyReused(ServiceError):
    """The idempotency key belongs to another request."""

    code = "idempotency-key-reused"
    title = "The key belongs to another request"


class NothingKept(ServiceError):
    """The job keeps no checkpoint of its own."""

    code = "nothing-kept"
    title = "The job keeps no checkpoint"


class QueueFull(ServiceError):
    """As many jobs wait as may."""

    code = "queue-full"
    title = "Too many jobs are waiting"


class TooManyStreams(ServiceError):
    """As many streams of events are open as may be."""

    code = "too-many-streams"
    title = "Too many streams are open"


class StoreUnavailable(ServiceError):
    """The database cannot be reached, written or read."""

    code = "store-unavailable"
    title = "The database is unavailable"


class FolderUnavailable(ServiceError):
    """The data folder cannot be written: its disk is full, say."""

    code = "storage-unavailable"
    title = "The data folder is unavailable"


class NotReady(ServiceError):
    """The service has started, but does not yet serve what it will."""

    code = "not-ready"
    title = "Not ready yet"


class BodyTooLarge(ServiceError):
    """The request's body is larger than allowed."""

    code = "body-too-large"
    title = "The request body is too large"


class BodyTooSlow(ServiceError):
    """The request's body began to come and then did not go on."""

    code = "body-too-slow"
    title = "The request body did not come in time"


class UnsupportedMediaType(ServiceError):
    """The request's body is of a type that the endpoint does not read."""

    code = "unsupported-media-type"
    title = "The request body is of another type"


class NotAcceptable(ServiceError):
    """The client takes none of the formats that the answer comes in."""

    code = "not-acceptable"
    title = "No such format"
