"""How the kernel is compiled, and where its machine code is kept."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import caching

_Function = TypeVar("_Function", bound=Callable[..., Any])

_FAST = {"reassoc", "contract", "arcp", "nsz"}  # not nnan, not ninf: checks for what is not finite would vanish


def inline(function: _Function) -> _Function:
    """Compiles a function of a number or two, into each place that calls it."""
    return cast(_Function, numba.njit(fastmath=_FAST, error_model="numpy", inline="always")(function))


def loop(function: _Function) -> _Function:
    """Compiles a part of the loops, for callers among them only.

    Constants are handed to it as `np.int64(0)` or `np.bool_(True)`: for a plain 0 numba compiles it once more.
    """
    return cast(_Function, numba.njit(fastmath=_FAST, error_model="numpy")(function))


def entry(function: _Function) -> _Function:
    """Compiles what Python calls, to run without the interpreter's lock, and keeps the machine code on disk."""
    settings = vars(numba.config)
    before = settings["CACHE_LOCATOR_CLASSES"]
    settings["CACHE_LOCATOR_CLASSES"] = ",".join(f"{__name__}.{place.__name__}" for place in _PLACES)
    try:
        return _entry(function, cache=True)
    except RuntimeError:  # no place can be written: a user without a home, whose every process compiles
        return _entry(function, cache=False)
    finally:
        settings["CACHE_LOCATOR_CLASSES"] = before


def _entry(function: _Function, *, cache: bool) -> _Function:
    return cast(_Function, numba.njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=cache)(function))


def _sources() -> bytes:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()


SOURCES = _sources()
"""Digest of this package. numba would look at the file of the entry alone, and miss changes of the others."""


class _OfAllSources:
    def get_source_stamp(self) -> bytes:
        return SOURCES


class BesideTheCode(_OfAllSources, caching.InTreeCacheLocator):
    """In `__pycache__`, if that can be written."""


class _Elsewhere(_OfAllSources):
    """A folder for this version of the kernel, which begins with what was compiled beside the code, if anything was.

    So an image whose code is read-only brings its machine code along, and where that fits the processor, none compiles.
    """

    def get_cache_path(self) -> str:
        return str(Path(super().get_cache_path()) / SOURCES.hex()[:16])  # type: ignore[misc]

    def ensure_cache_path(self) -> None:
        super().ensure_cache_path()  # type: ignore[misc]
        here = Path(self.get_cache_path())
        for file in (Path(__file__).parent / "__pycache__").glob("*.nb[ci]"):
            if not (here / file.name).exists():
                own = here / f"{file.name}.{os.getpid()}"
                shutil.copyfile(file, own)
                own.replace(here / file.name)


class CacheFolder(_Elsewhere, caching.UserProvidedCacheLocator):
    """Where NUMBA_CACHE_DIR says, if it does."""


class UsersCache(_Elsewhere, caching.UserWideCacheLocator):
    """In the user's cache folder, else."""


_PLACES = (CacheFolder, BesideTheCode, UsersCache)
