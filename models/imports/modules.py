"""The layers of a network that was saved as an object, from the names of its classes and their attributes.

Only plain classes of torch.nn, and those of this project, are known. Nothing of them is run: BatchNorm and Dropout
count as in evaluation mode, and a class that is not known is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.imports.chains import EPS, Affine, Chain, Function, Step, batch_norm
from models.imports.formats.pickles import Placeholder
from models.imports.notes import FILE, Notes, quoted
from models.imports.options import ImportOptions
from models.imports.tensors import Weights
from models.limits import MAX_CHECKPOINT_DEPTH
from models.networks import activations
from models.networks.modules import Logistic, Residual, TwoLayer, activation_module
from models.specs import ACTIVATIONS, Activation, InvalidInput, NetworkKind

ADVICE = "save the weights with torch.save(net.state_dict(), path)"


@dataclass(frozen=True)
class Module:
    """A module of a file.

    Attributes:
        path: the names of the modules that lead to it, with dots.
        class_name: with its package.
        settings: attributes that are numbers, texts or None, by name.
        tensors: parameters and buffers by name; None for those that it does not have.
        children: its modules by name, in their order.
        hooks: whether functions are attached to it that take part in its computation.
        has_all_settings: whether `settings` has every attribute of the class; if not, a missing one is unknown.
    """

    path: str
    class_name: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, Any]
    children: Mapping[str, "Module"]
    hooks: bool = False
    has_all_settings: bool = True


def module_of(value: Placeholder, path: str = "", depth: int = 0) -> Module:
    """The module that a placeholder stands for.

    Raises:
        InvalidInput: its attributes do not fit a module, or modules are nested too deeply.
    """
    if depth > MAX_CHECKPOINT_DEPTH:
        raise InvalidInput(FILE, f"must have modules that are nested at most {MAX_CHECKPOINT_DEPTH} deep")
    own = value.attributes
    parts = [own.get(name) for name in ("_modules", "_parameters", "_buffers")]
    if not all(isinstance(part, dict) for part in parts):
        raise InvalidInput(FILE, f"{_where(path, value.class_name)} is not a module of torch: {ADVICE}")
    modules, parameters, buffers = (part for part in parts if isinstance(part, dict))
    children = {}
    for name, child in modules.items():
        if child is None:
            continue
        if not isinstance(child, Placeholder):
            raise InvalidInput(FILE, f"{quoted(f'{path}.{name}')} is not a module: {ADVICE}")
        children[str(name)] = module_of(child, f"{path}.{name}" if path else str(name), depth + 1)
    settings = {key: one for key, one in own.items() if not key.startswith("_") and _is_plain(one)}
    hooks = any(bool(own.get(name)) for name in ("_forward_hooks", "_forward_pre_hooks"))
    return Module(path, value.class_name, settings, {**parameters, **buffers}, children, hooks)


def state_of(value: Placeholder) -> dict[str, Any]:
    """The tensors of a module and of those in it, by their keys in its state dict.

    Raises:
        InvalidInput: as `module_of`.
    """

    def tensors(module: Module) -> dict[str, Any]:
        own = {f"{module.path}.{name}" if module.path else name: one for name, one in module.tensors.items()}
        return own | {key: one for child in module.children.values() for key, one in tensors(child).items()}

    return tensors(module_of(value))


def chain_of(module: Module, options: ImportOptions, notes: Notes) -> Chain:
    """The layers of a network.

    Raises:
        InvalidInput: a class is not known or has settings that are not supported, or a tensor is wrong.
    """
    reader = _Reader(options, notes)
    while module.class_name in _WRAPPERS and len(module.children) == 1:
        (module,) = module.children.values()
    skip = None
    kind: NetworkKind | None = None
    if module.class_name == _name(Residual):
        if set(module.children) != {"layer1", "layer2"}:
            raise InvalidInput(FILE, f"{_where(module.path, module.class_name)} must have layer1 and layer2: {ADVICE}")
        (first,) = reader.steps(module.children["layer1"])
        skip, kind = first if isinstance(first, Affine) else None, "residual"
        steps = [*reader.steps(module.children["layer2"])]
    else:
        steps = [*reader.steps(module)]
    steps = _without_probabilities(steps, notes)
    reader.report()
    return Chain(tuple(step for step in steps if isinstance(step, Affine | Function)), skip, kind)


@dataclass(frozen=True)
class _Probabilities:
    """What turns logits into probabilities at the end of a network."""

    name: str
    function: str


class _Reader:
    """Turns modules into steps."""

    def __init__(self, options: ImportOptions, notes: Notes) -> None:
        self._options = options
        self._notes = notes
        self._weights = Weights(notes)
        self._evaluated: list[str] = []

    def steps(self, module: Module) -> Iterator[Step | _Probabilities]:
        """The steps of a module and those in it."""
        if module.hooks:
            raise InvalidInput(
                FILE,
                f"{_where(module.path, module.class_name)} has hooks, as weight_norm and pruning add: remove "
                f"them, or {ADVICE}",
            )
        if module.class_name in _CONTAINERS:
            for child in module.children.values():
                yield from self.steps(child)
        elif module.class_name in _WITHOUT_EFFECT:
            if "dropout" in module.class_name.lower():
                self._evaluated.append(module.path)
        elif module.class_name in _READERS:
            yield from _READERS[module.class_name](self, module)
        elif module.class_name in _ACTIVATION_CLASSES:
            yield Function(module.path, self._activation(module))
        elif module.class_name in _PROBABILITIES:
            yield _Probabilities(module.path, _PROBABILITIES[module.class_name])
        else:
            known = module.class_name.startswith("torch.nn.")
            why = "is not supported" if known else "is not a class of torch, and other code is never run"
            raise InvalidInput(FILE, f"{_where(module.path, module.class_name)} {why}: {ADVICE}")

    def report(self) -> None:
        """Notes what counts as in evaluation mode, and the types of the weights."""
        self._weights.report()
        if self._evaluated:
            paths = ", ".join(map(quoted, self._evaluated[:10]))
            self._notes.understood.append(f"Dropout and BatchNorm ({paths}) are read as in evaluation mode.")

    def linear(self, module: Module) -> Iterator[Step]:
        """A dense layer."""
        yield self._affine(module, "weight", "bias", transposed=False)

    def logistic(self, module: Module) -> Iterator[Step]:
        """The logistic network of this project."""
        yield self._affine(module, "w", "b", transposed=True)

    def two_layer(self, module: Module) -> Iterator[Step | _Probabilities]:
        """The two-layer network of this project."""
        yield self._affine(module, "w1", "b1", transposed=True)
        yield from self.steps(module.children["activation"])
        yield self._affine(module, "w2", "b2", transposed=True)

    def batch_norm(self, module: Module) -> Iterator[Step]:
        """BatchNorm in evaluation mode."""
        self._evaluated.append(module.path)
        tensors = {name: self._array(module, name) for name in ("running_mean", "running_var", "weight", "bias")}
        mean, variance, eps = tensors["running_mean"], tensors["running_var"], module.settings.get("eps")
        if eps is None and not module.has_all_settings:
            eps = EPS
            self._notes.warnings.append(f"The eps of {quoted(module.path)} is unknown; {EPS:g} is assumed.")
        if mean is None or variance is None:
            raise InvalidInput(FILE, f"{quoted(module.path)} must have running statistics, which its training collects")
        if (
            not isinstance(eps, float)
            or mean.ndim != 1
            or any(one is not None and one.shape != mean.shape for one in tensors.values())
        ):
            raise InvalidInput(FILE, f"{quoted(module.path)} must have one value for each channel, and an eps")
        yield batch_norm(module.path, mean, variance, tensors["weight"], tensors["bias"], eps)

    def _affine(self, module: Module, weight: str, bias: str, *, transposed: bool) -> Affine:
        matrix = self._array(module, weight)
        if matrix is None or matrix.ndim != 2:
            raise InvalidInput(FILE, f"{quoted(f'{module.path}.{weight}')} must be a matrix")
        weight_OI = matrix.T if transposed else matrix
        vector = self._array(module, bias)
        if vector is not None and vector.shape != weight_OI.shape[:1]:
            raise InvalidInput(FILE, f"{quoted(f'{module.path}.{bias}')} must have the shape ({weight_OI.shape[0]},)")
        return Affine(module.path or weight, weight_OI, np.zeros(len(weight_OI)) if vector is None else vector)

    def _array(self, module: Module, name: str) -> Any:
        value = module.tensors.get(name)
        return None if value is None else self._weights.array(f"{module.path}.{name}" if module.path else name, value)

    def _activation(self, module: Module) -> Activation:
        """The activation of this service that a module computes."""
        for activation, settings in _ACTIVATION_CLASSES[module.class_name]:
            found = {name: module.settings.get(name, value) for name, value in settings.items()}
            is_known = module.has_all_settings or settings.keys() <= module.settings.keys()
            if is_known and found == settings:
                return activation
            if self._options.activation == activation:
                self._notes.warnings.append(
                    f"{_where(module.path, module.class_name)} is read as {activation}, as you say, although its "
                    f"settings differ or are unknown: {activation} has {_listed(settings)}."
                )
                return activation
        ((activation, settings),) = _ACTIVATION_CLASSES[module.class_name]
        raise InvalidInput(
            FILE,
            f"{_where(module.path, module.class_name)} must have {_listed(settings)}, as {activation} has in this "
            f"service. To read it as {activation} anyway, send activation={activation}",
        )


def _without_probabilities(steps: list[Step | _Probabilities], notes: Notes) -> list[Step | _Probabilities]:
    """The steps without what turns the logits into probabilities: the service does that itself."""
    last = steps[-1] if steps else None
    outputs = next((step.outputs for step in reversed(steps) if isinstance(step, Affine)), 0)
    if isinstance(last, _Probabilities) and outputs > 1:
        notes.understood.append(f"The {last.function} at the end is left out: the network returns logits.")
        steps = steps[:-1]
    elif isinstance(last, Function) and last.activation == "sigmoid" and outputs == 1:
        notes.understood.append("The sigmoid at the end is left out: the network returns logits.")
        steps = steps[:-1]
    for step in steps:
        if isinstance(step, _Probabilities):
            raise InvalidInput(
                FILE,
                f"{quoted(step.name)} ({step.function}) must be the last module, after a layer with 2 or more outputs",
            )
    return steps


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items()) or "no settings"


def _where(path: str, class_name: str) -> str:
    return f"{quoted(path)} of the class {quoted(class_name)}" if path else f"the class {quoted(class_name)}"


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _activation_classes() -> dict[str, list[tuple[Activation, dict[str, Any]]]]:
    """The class and the settings of each activation."""
    found: dict[str, list[tuple[Activation, dict[str, Any]]]] = {}
    for activation in ACTIVATIONS:
        if activation == "identity":
            continue
        module = activation_module(activation)
        settings = {
            name: value
            for name, value in vars(module).items()
            if not name.startswith("_") and name not in ("training", "inplace")
        }
        found.setdefault(_name(type(module)), []).append((activation, settings))
    return found


_ACTIVATION_CLASSES = _activation_classes()
assert len(_ACTIVATION_CLASSES) == len(activations.TABLE) - 1, "each activation has a class of its own"

_NN = "torch.nn.modules"
_WRAPPERS = (
    "torch.nn.parallel.data_parallel.DataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
    "torch._dynamo.eval_frame.OptimizedModule",
)
_CONTAINERS = (f"{_NN}.container.Sequential",)
_WITHOUT_EFFECT = (
    f"{_NN}.linear.Identity",
    f"{_NN}.dropout.Dropout",
    f"{_NN}.dropout.Dropout1d",
    f"{_NN}.dropout.AlphaDropout",
    f"{_NN}.dropout.FeatureAlphaDropout",
)
_PROBABILITIES = {f"{_NN}.activation.Softmax": "softmax", f"{_NN}.activation.LogSoftmax": "log-softmax"}
_READERS: dict[str, Callable[[_Reader, Module], Iterator[Step | _Probabilities]]] = {
    f"{_NN}.linear.Linear": _Reader.linear,
    f"{_NN}.batchnorm.BatchNorm1d": _Reader.batch_norm,
    _name(Logistic): _Reader.logistic,
    _name(TwoLayer): _Reader.two_layer,
}
