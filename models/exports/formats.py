"""The formats of models as files: the only place that lists them."""

from collections.abc import Callable
from dataclasses import dataclass

from models.exports import json_weights, onnx_graph, python_file, safetensors_file
from models.exports.exported import Exported


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """A format, and where its files come from.

    Attributes:
        name: as requests name it.
        suffix: of names of files.
        media_type: of the file.
        content: what the file is, in one sentence.
        encode: makes the file without torch; None if the file needs torch or is stored.
        torch_function: makes the file with torch, as `service.processes.torch_tasks` names functions; None otherwise.
    """

    name: str
    suffix: str
    media_type: str
    content: str
    encode: Callable[[Exported], bytes] | None = None
    torch_function: str | None = None


FORMATS = (
    ExportFormat(
        name="pth",
        suffix=".pth",
        media_type="application/octet-stream",
        content="The `state_dict` of the network, as `torch.save` writes it.",
    ),
    ExportFormat(
        name="module",
        suffix=".module.pt",
        media_type="application/octet-stream",
        content="The whole network, pickled: `torch.load(file, weights_only=False)` returns it.",
        torch_function="models.exports.torch_programs:encode_module",
    ),
    ExportFormat(
        name="torch-export",
        suffix=".pt2",
        media_type="application/octet-stream",
        content="A program of `torch.export`, from points to probabilities.",
        torch_function="models.exports.torch_programs:encode_program",
    ),
    ExportFormat(
        name="safetensors",
        suffix=".safetensors",
        media_type="application/x-safetensors",
        content="The arrays of the `state_dict`, which load without torch.",
        encode=safetensors_file.encode,
    ),
    ExportFormat(
        name="onnx",
        suffix=".onnx",
        media_type="application/x-onnx",
        content="A graph for ONNX runtimes, from points to labels and probabilities.",
        encode=onnx_graph.encode,
    ),
    ExportFormat(
        name="json",
        suffix=".json",
        media_type="application/json",
        content="All weights as JSON.",
        encode=json_weights.encode,
    ),
    ExportFormat(
        name="py",
        suffix=".py",
        media_type="text/x-python",
        content="A Python program that needs NumPy alone, with `predict(points)` and a command line for CSV.",
        encode=python_file.encode,
    ),
)
"""`pth` is the default; it is stored with every checkpoint."""
