"""Compilation options shared by every kernel, and the list of kernels with their plain twins.

A kernel is a public function of arrays and numbers. Its twin computes the same result in plain Python integers, slowly
and obviously; one test walks `KERNELS` and compares the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Kernel:
    """A registered kernel: `function` is fast, `twin` is plain; both take and return the same things."""

    name: str
    function: Callable[..., Any]
    twin: Callable[..., Any]


KERNELS: dict[str, Kernel] = {}
"""Every registered kernel by "module.function"."""


_SHARED_SOURCES = ("accounts.py", "codegen.py", "field.py", "lanes.py", "merkle_hash.py", "registry.py")
"""Files whose functions and constants become part of kernels in other files."""


def _use_cache_of_these_sources() -> None:
    """Give each version of the shared helpers a cache directory of its own; must run before a kernel is declared.

    Machine code contains the helpers it calls, but Numba's cache notices changes of the kernel's own file only.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join((here / name).read_bytes() for name in _SHARED_SOURCES)).hexdigest()
    parent = Path(numba.config.CACHE_DIR or here / "__pycache__")  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(parent / f"kernels-{digest[:16]}")  # type: ignore[attr-defined]


_use_cache_of_these_sources()


def kernel(
    *, twin: Callable[_Arguments, _Result]
) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Register the decorated function with its plain twin; the function itself is returned unchanged."""

    def register(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        KERNELS[name] = Kernel(name, function, twin)
        return function

    return register


def inlined(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """A helper that exists only inside compiled code: its text becomes part of each kernel that calls it.

    Without this the compiler may leave a call, which passes every vector through memory.
    """
    compiler = numba.njit(
        forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy", boundscheck=False
    )  # type: ignore[call-overload]
    return cast(Callable[_Arguments, _Result], compiler(function))


def compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Compile on first call, cache on disk, release the interpreter lock, and leave index checks out."""
    compiler = numba.njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)
    return cast(Callable[_Arguments, _Result], compiler(function))
