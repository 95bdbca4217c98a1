"""printf and assert from device code: the functions vprintf and __assertfail that the compiler calls.

The arguments of vprintf lie in local memory one after the other, each at a multiple of its size (CUDA C++ Programming
Guide, formatted output; PTX interoperability guide, system calls).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.faults import AssertionFailed
from workbench.ptx.memory import LOCAL_WINDOW, REGION_BITS
from workbench.ptx.model import Instruction

if TYPE_CHECKING:
    from workbench.ptx.wave import Wave

_SPECIFIER = re.compile(r"%([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?(hh|h|ll|l|j|z|t|L)?([diouxXcsfFeEgGaAp%])")
LONGEST = 1 << 20  # a string that has no end


def text_at(wave: Wave, address: int) -> str:
    """The string in memory that a pointer points to."""
    allocation = wave.machine.memory.at(address)
    if allocation is None or not allocation.base <= address < allocation.base + allocation.size:
        return "(null)" if address == 0 else "(bad pointer)"
    tail = allocation.data[address - allocation.base :][:LONGEST].tobytes()
    return tail.split(b"\0", 1)[0].decode("utf-8", "replace")


def _bytes_of_thread(wave: Wave, thread: int, address: int) -> npt.NDArray[np.uint8]:
    """A thread's local memory from an address on."""
    if address >> REGION_BITS == LOCAL_WINDOW >> REGION_BITS:
        size = wave.machine.program.local_size
        start = thread * size
        return wave.machine.local[start + address - LOCAL_WINDOW : start + size]
    allocation = wave.machine.memory.at(address)
    return allocation.data[address - allocation.base :] if allocation else np.empty(0, np.uint8)


def print_all(wave: Wave, formats: Any, lists: Any) -> None:
    """Let each thread of the group print, in their order."""
    threads = wave.group.threads
    formats = np.broadcast_to(formats, len(threads))
    lists = np.broadcast_to(lists, len(threads))
    known: dict[int, str] = {}
    out = wave.machine.printed
    for thread, format_address, address in zip(
        threads.tolist(), formats.tolist(), lists.tolist(), strict=True
    ):
        if format_address not in known:
            known[format_address] = text_at(wave, format_address)
        memory = _bytes_of_thread(wave, thread, address) if address else np.empty(0, np.uint8)
        out.append(formatted(wave, known[format_address], memory))


def formatted(wave: Wave, template: str, memory: npt.NDArray[np.uint8]) -> str:
    """C's printf. Arguments that aren't there print as nothing rather than as what lies behind."""
    at = 0

    def take(dtype: Any) -> Any:
        nonlocal at
        size = np.dtype(dtype).itemsize
        start = -(-at // size) * size
        if start + size > len(memory):
            return None
        at = start + size
        return memory[start : start + size].view(dtype)[0]

    def one(match: re.Match[str]) -> str:
        flags, width, precision, length, kind = match.groups()
        if kind == "%":
            return "%"
        if width == "*":
            width = str(take(np.int32))
        if precision == "*":
            precision = str(take(np.int32))
        wide = length in ("l", "ll", "j", "z", "t")
        spec = "%" + (flags or "") + (width or "") + ("." + precision if precision is not None else "")
        if kind in "diouxXc":
            signed = kind in "dic"
            value = take(np.dtype(("i" if signed else "u") + ("8" if wide else "4")))
            if value is None:
                return ""
            number = int(value)
            if length in ("h", "hh"):
                number = int(
                    np.array(number).astype(("i" if signed else "u") + ("2" if length == "h" else "1"))
                )
            if kind == "c":
                return (spec + "c") % chr(number & 255)
            return (spec + ("d" if kind in "diu" else kind)) % number
        if kind in "fFeEgG":
            value = take(np.float64)
            return "" if value is None else _decimal(spec, kind, float(value))
        if kind in "aA":
            value = take(np.float64)
            if value is None:
                return ""
            text = re.sub(r"\.?0+p", "p", float(value).hex())
            return (spec.split(".")[0] + "s") % (text if kind == "a" else text.upper())
        value = take(np.int64)
        if value is None:
            return ""
        if kind == "s":
            return (spec + "s") % text_at(wave, int(value))
        return (spec + "s") % (hex(int(value)) if value else "(nil)")

    return _SPECIFIER.sub(one, template)


def _decimal(spec: str, kind: str, value: float) -> str:
    if np.isfinite(value):
        return (spec + kind) % value
    text = ("nan" if np.isnan(value) else "inf" if value > 0 else "-inf") if kind.islower() else (
        "NAN" if np.isnan(value) else "INF" if value > 0 else "-INF")  # fmt: skip
    return (
        (spec.split(".")[0].replace("0", "", 1) + "s") % text
        if spec[1:2] == "0"
        else (spec.split(".")[0] + "s") % text
    )


def fail_assertion(wave: Wave, ins: Instruction, message: Any, function: Any) -> None:
    """assert: the first thread that fails ends the launch."""
    first = lambda value: int(value if value.ndim == 0 else value[0])  # noqa: E731
    block, thread, block_at, thread_at = wave.machine.whereabouts(wave, 0)
    inside = text_at(wave, first(function)).split("(")[0].split()
    raise AssertionFailed(
        f"thread {thread} of block {block}: assert({text_at(wave, first(message))})"
        + (f" in {inside[-1]}" if inside else ""),
        file=ins.file, line=ins.line, block=block_at, thread=thread_at,
        advice="The kernel says itself that this must hold: print what it compares.",
    )  # fmt: skip
