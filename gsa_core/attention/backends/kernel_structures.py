"""The structures that `kernel/` takes, and the status that it returns."""

from __future__ import annotations

import ctypes

__all__ = ["PROBLEMS", "Rotation", "call", "layout_problem"]

_SIZES = (
    "batch", "rows", "cols", "frames", "own", "sets", "members", "heads", "d", "row_reach",
    "col_reach", "threads",
)  # fmt: skip
_STRIDES = ("query_strides", "key_strides", "value_strides")
_INPUTS = (
    "query", "key", "value",
    "row_table", "col_table", "pair_table", "frame_table", "weights", "near",
)  # fmt: skip
_GRADIENTS = (
    "out_grad", "query_grad", "key_grad", "value_grad",
    "row_grad", "col_grad", "pair_grad", "frame_grad",
)  # fmt: skip
_TURN_SIZES = ("batch", "rows", "cols", "frames", "sets", "others", "heads", "d", "threads")
_TURN_POINTERS = ("tokens", "cos", "sin", "turned", "grad", "angle_grad")

Number = type[ctypes.c_float] | type[ctypes.c_double]


class Rotation(ctypes.Structure):
    """The structure of that name in `kernel/`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _TURN_SIZES),
        ("strides", ctypes.c_int64 * 7),
        *((name, ctypes.c_void_p) for name in _TURN_POINTERS),
    )


def _problem_type(number: Number) -> type[ctypes.Structure]:
    """The structure of that name in `kernel/`, for one type of number."""
    fields: list[tuple[str, type]] = [(name, ctypes.c_int64) for name in _SIZES]
    fields += [(name, ctypes.c_int64 * 7) for name in _STRIDES]
    fields += [(name, ctypes.c_void_p) for name in _INPUTS]
    fields += [("scale", number), ("out", ctypes.c_void_p), ("lse", ctypes.c_void_p)]
    fields += [(name, ctypes.c_void_p) for name in _GRADIENTS]
    return type("Problem", (ctypes.Structure,), {"_fields_": fields})


PROBLEMS = {number: _problem_type(number) for number in (ctypes.c_float, ctypes.c_double)}


def layout_problem(library: ctypes.CDLL, number: Number) -> str:
    """Why a library does not take these structures; empty if it does."""
    sizes = (ctypes.c_int64 * 3)()
    library.structure_sizes(sizes)
    expected = [ctypes.sizeof(x) for x in (PROBLEMS[number], Rotation, number)]
    if list(sizes) == expected:
        return ""
    return f"the kernel's structures have {list(sizes)} bytes, and {expected} are expected"


def call(library: ctypes.CDLL, name: str, problem: ctypes.Structure) -> None:
    """Call a function of the library; raise what its status stands for (`kernel/lanes.h`)."""
    status = getattr(library, name)(ctypes.byref(problem))
    if status == 1:
        raise MemoryError(f"{name}: there is no memory for the room it works in")
    if status != 0:
        raise RuntimeError(f"{name}: the kernel failed with status {status}")
