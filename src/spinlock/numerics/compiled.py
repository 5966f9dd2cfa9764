"""Loops over numbers, compiled by numba; a module with such loops is imported where it is needed."""

import inspect
from collections.abc import Callable
from typing import Any

import numba
from numba.extending import register_jitable


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of numbers and numpy arrays compiled to machine code at its first call.

    The code is kept on disk beside the source, or in the user's cache folder, and only in memory where
    neither can be written. Floating-point operations keep their order and are not fused, so that every
    machine gives the same bits. The interpreter's lock is released while it runs.
    """
    plain = inspect.unwrap(function)  # run-time type checkers wrap what numba must see
    try:
        return numba.njit(plain, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:
        return numba.njit(plain, nogil=True, error_model="numpy")


def compilable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function as it is, for compiled ones to call: on numbers there, on whole arrays elsewhere."""
    return register_jitable(inspect.unwrap(function))
