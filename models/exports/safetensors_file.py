"""A version as a safetensors file: its state dict, and the description as metadata."""

import orjson
import safetensors.numpy

from models.exports.exported import DESCRIPTION_KEY, Exported


def encode(exported: Exported) -> bytes:
    """The file. Its metadata have one key only, because safetensors writes several keys in a random order."""
    return safetensors.numpy.save(exported.state, {DESCRIPTION_KEY: orjson.dumps(exported.description()).decode()})
