"""Compiles the kernel, and decides where its machine code is kept."""

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import caching

_Function = TypeVar("_Function", bound=Callable[..., Any])

# without nnan and ninf, which would remove the checks for NaN and infinity
_njit = partial(numba.njit, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")

_LOOP_NAMES: set[str] = set()
"""The qualified names of all loops."""


def inline(function: _Function) -> _Function:
    """Compiles a short function into each of its callers."""
    return cast(_Function, _njit(inline="always")(function))


def loop(function: _Function) -> _Function:
    """Compiles a function that only other compiled functions call.

    Pass constants as `np.int64(0)` or `np.bool_(True)`: a plain 0 has another type, for which numba compiles again.

    Each loop needs a qualified name of its own. The machine code of an entry contains its loops, and different
    processes may compile different entries. A process that loads two entries links loops of the same name as if they
    were one function.

    Raises:
        ValueError: another loop has this qualified name.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    if name in _LOOP_NAMES:
        raise ValueError(f"two loops are named {name}: set their __qualname__")
    _LOOP_NAMES.add(name)
    return cast(_Function, _njit()(function))


def entry(function: _Function) -> _Function:
    """Compiles a function that Python calls. It releases the GIL, and its machine code is kept on disk."""
    settings = vars(numba.config)
    before = settings["CACHE_LOCATOR_CLASSES"]
    settings["CACHE_LOCATOR_CLASSES"] = ",".join(f"{__name__}.{locator.__name__}" for locator in _LOCATORS)
    try:
        return cast(_Function, _njit(nogil=True, cache=True)(function))
    except RuntimeError:  # no folder can be written (a user without a home): every process compiles
        return cast(_Function, _njit(nogil=True)(function))
    finally:
        settings["CACHE_LOCATOR_CLASSES"] = before


SOURCES = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))).digest()
"""Digest of this package. numba by itself checks only the file of the entry, and would miss changes in the others."""

VERSION = SOURCES.hex()[:16]


class _OfAllSources:
    def get_source_stamp(self) -> bytes:
        return SOURCES

    def get_disambiguator(self) -> str:
        """Goes into the file names: numba cannot even read an index that names types of another version."""
        return VERSION


class BesideTheCode(_OfAllSources, caching.InTreeCacheLocator):
    """Keeps machine code in `__pycache__`, if that can be written."""

    def ensure_cache_path(self) -> None:
        """Removes the machine code of other versions."""
        super().ensure_cache_path()
        for file in Path(self.get_cache_path()).glob("*.nb[ci]"):
            if VERSION not in file.name:
                file.unlink(missing_ok=True)


class _Elsewhere(_OfAllSources):
    """Keeps machine code in a folder for this version of the kernel, which starts as a copy of that beside the code.

    This way a container image whose code is read-only can ship machine code. It is used if it fits the processor.
    """

    def get_cache_path(self) -> str:
        return str(Path(super().get_cache_path()) / VERSION)  # type: ignore[misc]

    def ensure_cache_path(self) -> None:
        super().ensure_cache_path()  # type: ignore[misc]
        here = Path(self.get_cache_path())
        for file in (Path(__file__).parent / "__pycache__").glob(f"*{VERSION}*.nb[ci]"):
            if not (here / file.name).exists():
                temporary = here / f"{file.name}.{os.getpid()}"
                shutil.copyfile(file, temporary)
                temporary.replace(here / file.name)


class CacheFolder(_Elsewhere, caching.UserProvidedCacheLocator):
    """Uses the folder that NUMBA_CACHE_DIR names, if it is set."""


class UsersCache(_Elsewhere, caching.UserWideCacheLocator):
    """Uses the user's cache folder."""


_LOCATORS = (CacheFolder, BesideTheCode, UsersCache)
