"""The instructions, by family. Importing this package registers the decoders of all of them (PTX ISA 9.7)."""

from workbench.ptx.instructions import (
    asynchronous,
    atomics,
    comparison,
    control,
    conversion,
    floating,
    halves,
    integer,
    logic,
    matrix,
    movement,
    packed,
    warp,
    wmma,
)

__all__ = [
    "asynchronous",
    "atomics",
    "comparison",
    "control",
    "conversion",
    "floating",
    "halves",
    "integer",
    "logic",
    "matrix",
    "movement",
    "packed",
    "warp",
    "wmma",
]
