"""Triton's interpreter, with every access watched.

The interpreter itself reads and writes wherever a pointer leads: an unmasked access past the end of a tensor passes
silently, or corrupts the process. Here each pointer is held against the tensors that the kernel was given.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import triton.language as tl
import triton.runtime.interpreter as interpreter
from triton.runtime.interpreter import GridExecutor, InterpreterBuilder
from triton.tools.tensor_descriptor import TensorDescriptor

PACKAGES = (os.path.dirname(interpreter.__file__).removesuffix("runtime"), os.path.dirname(__file__))


class OutOfBounds(Exception):
    """A program touched memory outside the tensors it was given. `line` is in `file`, the kernel's own."""

    def __init__(self, message: str, file: str, line: int) -> None:
        super().__init__(message)
        self.file, self.line = file, line


@dataclass
class Watch:
    """The tensors of the launch under way, and what has moved: 32-byte sectors, each counted once an operation."""

    ranges: list[tuple[str, int, int, int]] = field(
        default_factory=list
    )  # name, first byte, end, element size
    sectors: int = 0
    bytes_asked: int = 0
    counting: bool = False
    patched: set[tuple[bool, bool]] = field(default_factory=set)


@contextmanager
def watched(counting: bool = False) -> Iterator[Watch]:
    """Stop interpreted kernels inside the block at the first access outside their tensors (`OutOfBounds`)."""
    watch = Watch(counting=counting)
    originals = {
        (GridExecutor, "_init_args_hst"): GridExecutor._init_args_hst,
        (InterpreterBuilder, "create_masked_load"): InterpreterBuilder.create_masked_load,
        (InterpreterBuilder, "create_masked_store"): InterpreterBuilder.create_masked_store,
        (InterpreterBuilder, "create_atomic_rmw"): InterpreterBuilder.create_atomic_rmw,
        (interpreter, "_patch_lang_tensor"): interpreter._patch_lang_tensor,
        (interpreter, "_patch_lang"): interpreter._patch_lang,
    }

    def arguments(self: Any, positional: Any, keywords: Any) -> Any:
        watch.patched.clear()  # a launch begins
        found = originals[GridExecutor, "_init_args_hst"](self, positional, keywords)
        named = [*zip(self.arg_names, found[0], strict=False), *found[1].items()]
        tensors = [(name, a.base if isinstance(a, TensorDescriptor) else a) for name, a in named]
        watch.ranges = [
            (name, a.data_ptr(), a.data_ptr() + _span(a), a.element_size())
            for name, a in tensors
            if hasattr(a, "data_ptr")
        ]
        return found

    def load(self: Any, pointers: Any, mask: Any, other: Any, *rest: Any, **named: Any) -> Any:
        _check(watch, "reads", pointers, mask)
        found = originals[InterpreterBuilder, "create_masked_load"](
            self, pointers, mask, other, *rest, **named
        )
        if other is None:
            _poison(found.data, mask)
        return found

    def store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        _check(watch, "writes", pointers, mask)
        return originals[InterpreterBuilder, "create_masked_store"](
            self, pointers, value, mask, *rest, **named
        )

    def atomic(self: Any, operation: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        _check(watch, "writes", pointers, mask)
        return originals[InterpreterBuilder, "create_atomic_rmw"](
            self, operation, pointers, value, mask, *rest
        )

    def loop_bounds(tensor: Any, scope: Any) -> None:
        originals[interpreter, "_patch_lang_tensor"](tensor, scope)
        # Triton 3.6's own takes int() of an array of one element, which NumPy 2.4 refuses
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    def language(function: Any) -> Any:
        """Put the interpreter's functions in place once a launch; Triton does it at each call of a device function."""
        modules = [value for value in function.__globals__.values() if isinstance(value, ModuleType)]
        seen = (tl in modules, tl.core in modules)
        if seen in watch.patched:
            return None
        watch.patched.add(seen)
        return originals[interpreter, "_patch_lang"](function)

    replacements = (arguments, load, store, atomic, loop_bounds, language)
    for (owner, name), replacement in zip(originals, replacements, strict=True):
        setattr(owner, name, replacement)
    try:
        with np.errstate(all="ignore"):  # inf - inf is NaN, and a GPU says nothing about it
            yield watch
    finally:
        for (owner, name), original in originals.items():
            setattr(owner, name, original)


def _poison(loaded: np.ndarray, mask: Any) -> None:
    """Fill what a load without `other` left out, which a GPU leaves undefined and the interpreter sets to 0."""
    left_out = ~np.asarray(mask if isinstance(mask, np.ndarray) else mask.data, bool)
    largest = np.nan if loaded.dtype.kind == "f" else -1  # -1: all bits, which is NaN in bfloat16's uint16
    np.copyto(loaded, np.array(largest).astype(loaded.dtype), where=left_out)


def _span(tensor: Any) -> int:
    """Bytes from the tensor's first element to the end of its last."""
    if tensor.numel() == 0:
        return 0
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size()


def _check(watch: Watch, verb: str, pointers: Any, mask: Any) -> None:
    inside_mask = np.asarray(
        mask if isinstance(mask, np.ndarray) else mask.data
    )  # block pointers bring a bare array
    addresses = np.broadcast_to(pointers.data, np.broadcast_shapes(pointers.data.shape, inside_mask.shape))
    if not inside_mask.all():
        addresses = addresses[np.broadcast_to(inside_mask, addresses.shape)]
    if addresses.size == 0:
        return
    size = max(1, pointers.get_element_ty().primitive_bitwidth // 8)
    if watch.counting:
        watch.sectors += np.unique(addresses // 32).size
        watch.bytes_asked += addresses.size * size
    low, high = int(addresses.min()), int(addresses.max()) + size
    if any(start <= low and high <= end for _, start, end, _ in watch.ranges):
        return
    inside = np.zeros(addresses.shape, bool)
    for _, start, end, _ in watch.ranges:
        inside |= (addresses >= start) & (addresses + size <= end)
    if not inside.all():
        _stop(watch, verb, int(addresses[~inside][0]), int((~inside).sum()))


def _stop(watch: Watch, verb: str, address: int, count: int) -> None:
    if not watch.ranges:
        raise OutOfBounds(f"the kernel {verb} memory, but it was given no tensor", *_kernel_line())
    name, start, end, size = min(watch.ranges, key=lambda r: min(abs(address - r[1]), abs(address - r[2])))
    program = ", ".join(map(str, interpreter.interpreter_builder.grid_idx))
    more = f", and {count - 1} more such" if count > 1 else ""
    message = (
        f"out of bounds: program ({program}) {verb} {name}[{(address - start) // size}]{more}, "
        f"but {name} has {(end - start) // size} elements"
    )
    raise OutOfBounds(message, *_kernel_line())


def _kernel_line() -> tuple[str, int]:
    """The innermost line that belongs neither to Triton nor to this file: the kernel's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGES):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
