"""The text of a fault for an address that lies nowhere, outside of its array, or not on a multiple of its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.ptx.faults import Fault, Misaligned, OutOfBounds
from workbench.ptx.kinds import DTYPES
from workbench.ptx.memory import LOCAL_WINDOW, SHARED_WINDOW, Allocation, Span
from workbench.ptx.program import Site

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

VERBS = {"load": "reads", "store": "writes", "atomic": "updates", "reduction": "updates", "copy": "copies"}
GUARD = "Guard the access: only threads with an index below the length may touch the array."


def trespass(wave: Wave, site: Site, addresses: Any, place: int, which: int) -> Fault:
    """The fault of the thread at a place of the running group, whose address is number `which`."""
    address = int(addresses if addresses.ndim == 0 else addresses[which])
    block, thread, block_at, thread_at = wave.machine.whereabouts(wave, place)
    ins = site.instruction
    where: dict[str, Any] = {"file": ins.file, "line": ins.line, "block": block_at, "thread": thread_at}
    plural = "" if site.size == 1 else "s"
    does = f"thread {thread} of block {block} {VERBS[site.kind]} {site.size} byte{plural}"
    space, touched = wave.machine.owner(site, address)
    if touched is None:
        return _nowhere(does, wave, space, address, where)
    if isinstance(touched, Span):
        start = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW}[space] if site.space == "generic" else 0
        return _in_span(does, site, space, touched, address - start, where)
    return _in_allocation(does, site, touched, address, where)


def _nowhere(does: str, wave: Wave, space: str, address: int, where: dict[str, Any]) -> Fault:
    if -(1 << 20) < address < 1 << 20 and space == "global":
        message = f"{does} at address {address:#x}: it follows a null pointer"
        advice = "See that every array that the kernel touches is passed, and that no pointer is used before it is set."
    else:
        shown = f"address {address:#x}" if address >= 0 else f"address {address}"
        message = f"{does} at {shown} of {space} memory, where nothing lies"
        advice = "See how this address is computed: its index is far outside of any array."
        if any(size > 8 for _, size in wave.machine.program.parameters.values()):
            advice += (
                " If it comes from a pointer in a structure that is passed to the kernel: only pointers that are "
                "arguments of their own lead to an array here, so pass each array by itself."
            )
    return OutOfBounds(message, advice=advice, **where)


def _in_span(does: str, site: Site, space: str, span: Span, address: int, where: dict[str, Any]) -> Fault:
    size = span.end - span.start
    name = pretty(span.name)
    at = address - span.start
    if at >= 0 and at + site.size <= size:
        return Misaligned(
            f"{does} at byte {at} of {name} in {space} memory, which isn't a multiple of {site.size}",
            array=name, advice=_align_advice(site.size), **where,
        )  # fmt: skip
    advice = "See that every index stays below the length of its dimension."
    each = element_size(site) if space == "shared" else 1
    if span.dynamic:
        has = f"the launch passes {size} bytes for it"
        advice = (
            "Pass as much dynamic shared memory at the launch (shared_memory, in bytes) as the kernel uses"
        )
        advice += ", and see that indices stay inside." if size else "."
    elif each == 1 or size % each:
        has = f"{name} has {size} bytes"
    else:
        has = f"{name} has {size // each} element{'' if size == each else 's'} of {each} bytes"
    shown = element_of(site, span, address) if space == "shared" and not at % each else f"byte {at} of {name}"
    return OutOfBounds(f"{does} at {shown} in {space} memory, but {has}", array=name, advice=advice, **where)


def element_size(site: Site) -> int:
    """Bytes of what an access calls an element; 1 if it doesn't say (copies, and what is moved byte by byte)."""
    kind = DTYPES.get(site.instruction.parts[-1])
    return kind.itemsize if kind is not None and site.kind != "copy" else 1


def element_of(site: Site, span: Span, offset: int) -> str:
    """How a place in shared memory reads in a message: part[10], counted through all dimensions, or byte 40 of part."""
    each = element_size(site)
    at = offset - span.start
    return f"byte {at} of {pretty(span.name)}" if each == 1 else f"{pretty(span.name)}[{at // each}]"


def _in_allocation(does: str, site: Site, touched: Allocation, address: int, where: dict[str, Any]) -> Fault:
    name = touched.element_at(address)
    at = address - touched.base
    if at >= 0 and at + site.size <= touched.size:
        if site.kind != "load" and not touched.writable:
            return OutOfBounds(
                f"{does} at {name}, but {touched.name} is read-only",
                array=touched.name, advice="Pass an array that may be written.",
                **where,
            )  # fmt: skip
        return Misaligned(
            f"{does} at {name}, whose address isn't a multiple of {site.size}",
            array=touched.name, advice=_align_advice(site.size), **where,
        )  # fmt: skip
    advice = GUARD if at >= 0 else "An index became negative: see where it is computed."
    return OutOfBounds(
        f"{does} at {name}, but {touched.describe()}", array=touched.name, advice=advice, **where
    )


def _align_advice(size: int) -> str:
    return (
        f"An access of {size} bytes needs an address that is a multiple of {size}: use narrower accesses where the "
        "pointer may be anything else."
    )


def pretty(name: str) -> str:
    """A variable's name in the CUDA source: _ZZ2t1E4tile is tile, declared in t1."""
    name = name.split("#")[0]
    if name.startswith("__local_depot"):
        return "the local variables"
    if name.startswith("_ZZ") and "E" in name:
        rest = name[name.rindex("E") + 1 :] if name[-1] != "E" else name
        for at in range(len(name) - 1, 2, -1):
            if name[at] == "E" and at + 1 < len(name) and name[at + 1].isdigit():
                rest = name[at + 1 :]
                break
        digits = len(rest) - len(rest.lstrip("0123456789"))
        if digits:
            return rest[digits : digits + int(rest[:digits])]
    return name


def full(value: Any, count: int) -> Any:
    return np.full(count, value) if value.ndim == 0 else value
