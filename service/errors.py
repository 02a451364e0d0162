"""Expected failures of the service, by name. Only `service.http.problems` knows the HTTP status of each."""

from collections.abc import Iterable

from models.wording import listed

_SHOWN_CHARACTERS = 64
"""Maximum length of a name that a message repeats in full. Every valid name is shorter."""


def _shown(name: str) -> str:
    """A name in quotes, with escapes for characters that cannot be printed."""
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}...")


class ServiceError(Exception):
    """Base of all expected failures.

    The message is shown to the client: it says what to do, and contains no path, no traceback and no input except
    short names.

    Attributes:
        code: identifies the kind of failure; never changes.
        title: the code in words.
        advice: what to do, where nothing more precise is known.
    """

    code = "error"
    title = "Error"
    advice = ""

    def __init__(self, message: str | None = None) -> None:
        """`message` is the advice by default."""
        super().__init__(message or self.advice)

    @property
    def for_operator(self) -> str:
        """The message for an operator, who uses the commands on the machine of the service."""
        return str(self)


class ModelNotFound(ServiceError):
    """The model has no published version."""

    code = "model-not-found"
    title = "Model not found"
    advice = "GET /models, or `separatrix models`, lists all models."

    @staticmethod
    def named(name: str) -> "ModelNotFound":
        """The error for a model of this name."""
        return ModelNotFound(f"No model is named {_shown(name)}. {ModelNotFound.advice}")


class VersionNotFound(ServiceError):
    """The model has no version of this number."""

    code = "version-not-found"
    title = "Version not found"
    advice = "GET /models/{name}/versions, or `separatrix models`, lists the versions of a model."

    @staticmethod
    def numbered(number: int, model: str, newest: int | None = None) -> "VersionNotFound":
        """The error for a version of this number; `newest` is the highest number, if it is known."""
        hint = VersionNotFound.advice if newest is None else f"Its newest version is {newest}."
        return VersionNotFound(f"The model {_shown(model)} has no version {number}. {hint}")


class AliasNotFound(ServiceError):
    """The model has no alias of this name."""

    code = "alias-not-found"
    title = "Alias not found"
    advice = "GET /models/{name}/aliases, or `separatrix models`, lists the aliases of a model."

    @staticmethod
    def named(alias: str, model: str, aliases: Iterable[str]) -> "AliasNotFound":
        """The error for an alias of this name; `aliases` are those that the model has."""
        known = listed(sorted(aliases)) or "none"
        return AliasNotFound(f"The model {_shown(model)} has no alias {_shown(alias)}. Its aliases: {known}.")


class AliasReserved(ServiceError):
    """The alias is `latest`, which cannot be deleted."""

    code = "alias-reserved"
    title = "The alias `latest` cannot be deleted"
    advice = "Move it to another version, with PUT or `separatrix alias`."


class VersionInUse(ServiceError):
    """An alias other than `latest` names the version that should be deleted."""

    code = "version-in-use"
    title = "An alias names the version"
    advice = "Move or delete the alias, and then delete the version."


class LayerNotFound(ServiceError):
    """The network has no layer of this index or name."""

    code = "layer-not-found"
    title = "Layer not found"
    advice = "GET /models/{name}/versions/{version}/layers?weights=false lists the layers of a version."

    @staticmethod
    def named(layer: str) -> "LayerNotFound":
        """The error for a layer of this index or name."""
        return LayerNotFound(f"The network has no layer {_shown(layer)}. {LayerNotFound.advice}")


class VersionBroken(ServiceError):
    """The version was published, but its checkpoint is damaged."""

    code = "version-broken"
    title = "The checkpoint of the version is damaged"
    advice = "Ask for another version, or for a picture without its points. The operator can restore the file."


class DatasetNotFound(ServiceError):
    """There is no dataset of this name."""

    code = "dataset-not-found"
    title = "Dataset not found"
    advice = "GET /datasets, or `separatrix datasets list`, lists all datasets."

    @staticmethod
    def named(name: str) -> "DatasetNotFound":
        """The error for a dataset of this name."""
        return DatasetNotFound(f"No dataset is named {_shown(name)}. {DatasetNotFound.advice}")


class DatasetExists(ServiceError):
    """Another dataset has the name."""

    code = "dataset-exists"
    title = "The name of the dataset is taken"
    advice = "Choose another name, or replace the stored dataset with ?replace=true or --replace."


class DatasetReserved(ServiceError):
    """The name belongs to a generator, which can be neither replaced nor deleted."""

    code = "dataset-reserved"
    title = "The name belongs to a generator"
    advice = "Choose another name. GET /datasets, or `separatrix datasets list`, lists the generators."


class DatasetsFull(ServiceError):
    """The stored datasets together would take more of the disk than allowed."""

    code = "datasets-full"
    title = "The datasets take too much of the disk"
    advice = "Delete datasets that are no longer needed, or raise the setting `max_datasets_bytes`."


class DataFolderFull(ServiceError):
    """The data folder takes as much of the disk as the setting `max_data_bytes` allows."""

    code = "data-folder-full"
    title = "The data folder is full"
    advice = "Delete versions, jobs or datasets that are no longer needed, or raise the setting `max_data_bytes`."


class DatasetBroken(ServiceError):
    """The file of the dataset is missing or damaged."""

    code = "dataset-broken"
    title = "The file of the dataset is damaged"
    advice = "Store the dataset again with ?replace=true or --replace. The operator can restore the file."


class JobNotFound(ServiceError):
    """There is no job of this id."""

    code = "job-not-found"
    title = "Job not found"
    advice = "GET /jobs lists the jobs that exist."

    @staticmethod
    def of(job_id: str) -> "JobNotFound":
        """The error for a job of this id."""
        return JobNotFound(f"No job has the id {_shown(job_id)}. {JobNotFound.advice}")

    @staticmethod
    def after() -> "JobNotFound":
        """The error for a page that must start after a job that does not exist."""
        return JobNotFound("`after` must be the id of a job; list again without `after`.")


class WrongState(ServiceError):
    """The state of the job does not allow the action."""

    code = "wrong-state"
    title = "The state of the job does not allow this"
    advice = "`current_status` is the status of the job. The table of states in the API page shows what it allows."

    def __init__(self, state: str, rule: str) -> None:
        """`state` is the job's present state; `rule` says which states allow the action, or what to do instead."""
        super().__init__(f"The status of the job is {state}. {rule}")
        self.state = state


class KeyReused(ServiceError):
    """The idempotency key was used before with another request."""

    code = "idempotency-key-reused"
    title = "The idempotency key was used with another request"
    advice = "Use a new key for a different training."


class NoCheckpoint(ServiceError):
    """The job has no checkpoint of its own."""

    code = "nothing-kept"
    title = "The job has no checkpoint"
    advice = "If the job has succeeded, download the checkpoint of its version. Otherwise ask again later."


class TrainingUnknown(ServiceError):
    """The version was imported, so its training is unknown."""

    code = "training-unknown"
    title = "The training of the version is unknown"
    advice = "Use a version that was trained by this service. Imported versions have no history and no training points."


class QueueFull(ServiceError):
    """The job queue is full."""

    code = "queue-full"
    title = "The job queue is full"
    advice = "Try again when some of the queued jobs are done."


class TooManyRequests(ServiceError):
    """The client sends more requests a second than it may."""

    code = "too-many-requests"
    title = "Too many requests"
    advice = "Send fewer requests a second, or several points in each."

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        """`message` says how many requests are allowed, `retry_after_s` after how many seconds the next one is."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyAtOnce(ServiceError):
    """The client has more requests in progress than it may."""

    code = "too-many-at-once"
    title = "Too many requests at a time"
    advice = "Wait for the responses to other requests first."


class TooManyBodies(ServiceError):
    """The bodies of all requests in progress together have reached their limit."""

    code = "too-many-bodies"
    title = "Too many large requests at a time"
    advice = "Send it again later, or in several requests."


class TooManyStreams(ServiceError):
    """The limit of open event streams is reached."""

    code = "too-many-streams"
    title = "Too many event streams are open"
    advice = "Try again when other streams have ended, or follow several jobs in one stream."


class StoreUnavailable(ServiceError):
    """The database cannot be reached, read or written."""

    code = "store-unavailable"
    title = "The database is unavailable"
    advice = "Try again after `Retry-After` seconds. The log of the service says what is wrong with the database."

    def __init__(self, message: str | None = None, *, for_operator: str | None = None) -> None:
        """`message` is the advice by default; `for_operator` is the message by default."""
        super().__init__(message)
        self._for_operator = for_operator

    @property
    def for_operator(self) -> str:
        """What the operator can do, where that is more than a client can."""
        return self._for_operator or str(self)


class FolderUnavailable(ServiceError):
    """The data folder cannot be written, for example because the disk is full."""

    code = "storage-unavailable"
    title = "The data folder is unavailable"
    advice = "Try again after `Retry-After` seconds. The log of the service says why it cannot be written."


class NotReady(ServiceError):
    """The service cannot answer this request yet, or is shutting down."""

    code = "not-ready"
    title = "The service is not ready"
    advice = "Try again after `Retry-After` seconds."


class Unsupported(ServiceError):
    """The protocol allows the request, but this service does not support it."""

    code = "unsupported"
    title = "Not supported"
    advice = "The detail says what to do instead."


class TaskFailed(ServiceError):
    """The request needs a separate process. It exceeded its time or memory there, or the process died."""

    code = "task-failed"
    title = "The task failed"
    advice = "Reduce the size of the request."


class BodyTooLarge(ServiceError):
    """The request body is longer than allowed."""

    code = "body-too-large"
    title = "The request body is too large"
    advice = "Send the points in several requests."


class BodyTooSlow(ServiceError):
    """The rest of the request body did not arrive in time."""

    code = "body-too-slow"
    title = "The request body did not arrive in time"
    advice = "Send the body without pauses longer than the setting `body_timeout_s`."


class HeadTooSlow(ServiceError):
    """The request line and the headers did not arrive in time."""

    code = "head-too-slow"
    title = "The headers did not arrive in time"
    advice = "Send all headers within the setting `head_timeout_s`."


class HeadTooLarge(ServiceError):
    """The request line and the headers are longer than allowed."""

    code = "head-too-large"
    title = "The headers are too large"
    advice = "Send fewer or shorter headers and parameters."


class TooManyConnections(ServiceError):
    """The process has as many connections as the setting `max_connections` allows."""

    code = "too-many-connections"
    title = "Too many connections"
    advice = "Send requests over fewer connections, or raise the setting `max_connections`."


class UnsupportedMediaType(ServiceError):
    """The endpoint does not read request bodies of this type or encoding."""

    code = "unsupported-media-type"
    title = "Unsupported request body"
    advice = "Send the `Content-Type` that the detail names."


class NotAcceptable(ServiceError):
    """The client accepts none of the formats of the response."""

    code = "not-acceptable"
    title = "No acceptable format"
    advice = "Name one of the media types of the detail in the Accept header."


class Unauthorized(ServiceError):
    """The request needs a key, and has none or one that is not valid."""

    code = "unauthorized"
    title = "A key is needed"
    advice = "Send `Authorization: Bearer KEY`. The operator adds keys with `separatrix keys add NAME --role ROLE`."


class Forbidden(ServiceError):
    """The role of the key does not allow the request."""

    code = "forbidden"
    title = "The role of the key does not allow this"
    advice = "Use a key with the role that the detail names."


class HostNotAllowed(ServiceError):
    """The `Host` of the request is not a name of the service. This can be a DNS rebinding attempt."""

    code = "host-not-allowed"
    title = "The service does not answer under this host name"
    advice = "Use localhost or an address, or add the name to the setting `allowed_hosts`."


class OriginNotAllowed(ServiceError):
    """A page of another origin sent a request that would change something."""

    code = "origin-not-allowed"
    title = "Pages of this origin may not change anything"
    advice = "Add the origin of the page to the setting `cors_origins`."
