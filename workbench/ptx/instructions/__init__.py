"""The instructions, by family. Importing this package registers the decoders of all of them (PTX ISA 9.7)."""

from workbench.ptx.instructions import (
    comparison,
    control,
    conversion,
    floating,
    halves,
    integer,
    logic,
    movement,
)

__all__ = ["comparison", "control", "conversion", "floating", "halves", "integer", "logic", "movement"]
