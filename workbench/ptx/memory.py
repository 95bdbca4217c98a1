"""The virtual address space: where arrays, variables and windows lie (PTX ISA 5.1, state spaces; 5.1.6, generic).

An address is a 64-bit integer whose upper bits say what it belongs to, 2^40 bytes for each allocation, which lies in
the middle of them: so an address that has run off an array, in either direction, still says which array was meant.
Shared, local and parameter memory are windows of the generic space, as on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.model import Module

Array = npt.NDArray[np.generic]

REGION_BITS = 40
MIDDLE = 1 << (REGION_BITS - 1)
SHARED, LOCAL, PARAMETERS, FUNCTIONS, FIRST_VARIABLE = 1, 2, 3, 4, 16
SHARED_WINDOW, LOCAL_WINDOW, PARAMETER_WINDOW = (
    region << REGION_BITS for region in (SHARED, LOCAL, PARAMETERS)
)
RED_ZONE = 512  # bytes between shared variables, so that running off one isn't reading the next


@dataclass
class View:
    """Memory seen as elements of one type: `start` is the address of element 0, `limit` the bytes they cover.

    Shared and local memory lie once for each block or thread: `spread` says that each thread adds its own start.
    """

    start: int
    limit: int
    elements: Array
    space: str = "global"
    spread: str = ""  # "shared", "local" or nothing
    allocation: Allocation | None = None
    span: Span | None = None


NO_VIEW = View(0, 0, np.empty(0, np.int8))


@dataclass
class Allocation:
    """A piece of memory: an array that the host passed, or a variable of the module."""

    name: str
    base: int
    data: npt.NDArray[np.uint8]
    element: np.dtype[np.generic]
    shape: tuple[int, ...]
    writable: bool = True
    number: int = 0
    space: str = "global"
    views: dict[np.dtype[Any], View] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.data.size

    def view(self, dtype: np.dtype[Any]) -> View:
        """All naturally aligned elements of a type that lie wholly inside."""
        found = self.views.get(dtype)
        if found is None:
            size = dtype.itemsize
            skipped = -self.base % size
            count = max(0, (self.size - skipped) // size)
            part = self.data[skipped : skipped + count * size]
            found = View(self.base + skipped, count * size, part.view(dtype), self.space, "", self)
            self.views[dtype] = found
        return found

    @property
    def length(self) -> int:
        return self.size // self.element.itemsize

    def element_at(self, address: int) -> str:
        """How an address inside or outside reads in a message: c[12], or c[12] + 2 bytes."""
        index, rest = divmod(address - self.base, self.element.itemsize)
        return f"{self.name}[{index}]" + (f" + {rest} bytes" if rest else "")

    def describe(self) -> str:
        shape = f", shape {' x '.join(map(str, self.shape))}" if len(self.shape) > 1 else ""
        plural = "" if self.length == 1 else "s"
        kind = self.element.name if self.element.kind != "V" else f"{self.element.itemsize} bytes"
        return f"{self.name} has {self.length} element{plural} of {kind}{shape}"


def bytes_of(array: Array) -> npt.NDArray[np.uint8]:
    """The memory of a contiguous array as bytes, without a copy."""
    if array.size == 0:
        return np.empty(0, np.uint8)
    return array.reshape(-1).view(np.uint8)


class GlobalMemory:
    """The allocations of one launch, found by address."""

    def __init__(self, allocations: Iterable[Allocation]) -> None:
        self.regions = {allocation.base >> REGION_BITS: allocation for allocation in allocations}

    def at(self, address: int) -> Allocation | None:
        """The allocation that an address belongs to, or runs off."""
        return self.regions.get(address >> REGION_BITS)


def allocate(
    region: int, name: str, array: Array, *, writable: bool = True, space: str = "global"
) -> Allocation:
    """Give an array its addresses, aligned as `alignment` says."""
    base = (region << REGION_BITS) + MIDDLE + alignment(array)
    return Allocation(name, base, bytes_of(array), array.dtype, array.shape, writable, region, space)


def alignment(array: Array) -> int:
    """What an array's address is modulo 256.

    A GPU's allocations start at multiples of 256. NumPy's own don't, but a view into one starts as many bytes behind
    a multiple of 256 as it starts behind the array that it is a view of. Memory of others has its real address.
    """
    if array.size == 0:
        return 0
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    address: int = array.__array_interface__["data"][0]
    if owner.flags.owndata:
        address -= owner.__array_interface__["data"][0]
    return address % 256


def function_address(module: Module, name: str) -> int:
    """A device function's address: it can be handed on and called, and holds nothing to read."""
    return (FUNCTIONS << REGION_BITS) + 16 * (1 + list(module.functions).index(name))


@dataclass(frozen=True)
class Span:
    """A variable in shared or local memory, by its offsets there."""

    name: str
    start: int
    end: int
    element: np.dtype[np.generic]
    dynamic: bool = False  # as large as the launch says


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
