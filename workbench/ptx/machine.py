"""One launch: memory, the grid cut into waves of blocks, and what the waves share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.ptx.builder import MALFORMED
from workbench.ptx.counters import Counting
from workbench.ptx.faults import Triple, place
from workbench.ptx.memory import (
    LOCAL,
    LOCAL_WINDOW,
    NO_VIEW,
    PARAMETERS,
    REGION_BITS,
    SHARED,
    SHARED_WINDOW,
    Allocation,
    GlobalMemory,
    Span,
    View,
    round_up,
)
from workbench.ptx.program import Program, Site
from workbench.ptx.watch import Watch
from workbench.ptx.wave import Wave

WAVE_BYTES = 1 << 21  # what the registers of a wave should take, so that they stay in the processor's cache
SHARED_BYTES = 1 << 26  # and its shared and local memory


@dataclass(frozen=True)
class Limits:
    """What a thread may do, and what a block may have. The defaults are those of compute capability 9.0."""

    instructions: int = 4_000_000  # of one thread
    threads: int = 1024  # in a block
    shared_memory: int = 232_448  # bytes of a block, static and dynamic
    static_shared_memory: int = 49_152
    grid: Triple = (2**31 - 1, 65_535, 65_535)
    block: Triple = (1024, 1024, 64)


class Machine:
    def __init__(
        self,
        program: Program,
        memory: GlobalMemory,
        variables: dict[str, Allocation],
        grid: Triple,
        block: Triple,
        dynamic: int,
        limits: Limits,
        watch: Watch | None,
        counting: Counting | None,
    ) -> None:
        self.program, self.memory, self.grid, self.block = program, memory, grid, block
        self.variables, self.limits, self.watch, self.counting = variables, limits, watch, counting
        found = memory.regions.get(PARAMETERS)
        self.parameters = found.data if found else np.empty(0, np.uint8)
        self.block_threads = block[0] * block[1] * block[2]
        self.grid_blocks = grid[0] * grid[1] * grid[2]
        self.dynamic = dynamic
        self.printed: list[str] = []
        self.shared_spans = list(program.shared_spans)
        if dynamic or program.dynamic_name:
            name = program.dynamic_name or "dynamic shared memory"
            start = program.dynamic_start
            self.shared_spans.append(Span(name, start, start + dynamic, np.dtype(np.int8), True))
        end = max((span.end for span in self.shared_spans), default=0)
        self.shared_stride = round_up(end, 128)
        self.wave_blocks = self._wave_blocks()
        self.everyone = np.arange(self.wave_blocks * self.block_threads, dtype=np.int64)
        self.shared = np.zeros(self.wave_blocks * self.shared_stride, np.uint8)
        self.local = np.zeros(self.wave_blocks * self.block_threads * program.local_size, np.uint8)
        self.views: list[View] = [NO_VIEW] * len(program.sites)
        self.span_views: dict[tuple[str, str, np.dtype[Any], bool], View] = {}
        self.thread_registers = self._thread_registers()

    def _wave_blocks(self) -> int:
        """How many blocks run together: as many as fit the cache."""
        widest = max(block.live.bit_count() if hasattr(int, "bit_count") else bin(block.live).count("1")
                     for block in self.program.blocks)  # fmt: skip
        threads = max(2048, WAVE_BYTES // (6 * max(widest, 4)))
        blocks = max(1, min(threads, 65_536) // self.block_threads)
        memory = self.shared_stride + self.block_threads * self.program.local_size
        if memory:
            blocks = max(1, min(blocks, SHARED_BYTES // memory))
        return min(blocks, self.grid_blocks)

    # Registers

    def _thread_registers(self) -> dict[str, Any]:
        """The special registers that are the same in every wave (PTX ISA 10)."""
        threads = np.tile(np.arange(self.block_threads, dtype=np.int32), self.wave_blocks)
        x, y, z = self.block
        values: dict[str, Any] = {}
        wanted = {name for _, name in self.program.specials}
        per_warp = -(-self.block_threads // 32)
        lane = threads % 32
        makers: dict[str, Any] = {
            "%tid.x": lambda: threads % x if y * z > 1 else threads,
            "%tid.y": lambda: threads // x % y if z > 1 else threads // x,
            "%tid.z": lambda: threads // (x * y),
            "%laneid": lambda: lane,
            "%warpid": lambda: threads // 32,
            "%lanemask_eq": lambda: np.left_shift(1, lane.astype(np.int64)).astype(np.int32),
            "%lanemask_lt": lambda: ((1 << lane.astype(np.int64)) - 1).astype(np.int32),
            "%lanemask_le": lambda: ((2 << lane.astype(np.int64)) - 1).astype(np.int32),
            "%lanemask_ge": lambda: (-(1 << lane.astype(np.int64))).astype(np.int32),
            "%lanemask_gt": lambda: (-(2 << lane.astype(np.int64))).astype(np.int32),
        }
        for name in wanted & makers.keys():
            axis = "xyz".find(name[-1]) if name.startswith("%tid.") else -1
            values[name] = makers[name]() if axis < 0 or self.block[axis] > 1 else np.zeros((), np.int32)
        sizes = {f"%ntid.{axis}": size for axis, size in zip("xyz", self.block, strict=True)}
        sizes |= {f"%nctaid.{axis}": size for axis, size in zip("xyz", self.grid, strict=True)}
        sizes |= {"%nwarpid": per_warp, "%smid": 0, "%nsmid": 1, "%dynamic_smem_size": self.dynamic}
        sizes |= {"%total_smem_size": self.program.shared_used + self.dynamic}
        for name in wanted & sizes.keys():
            values[name] = np.array(sizes[name], np.int32)
        return values

    def registers(self, first: int, blocks: int) -> list[Any]:
        """The registers of a new wave."""
        registers = list(self.program.template)
        count = blocks * self.block_threads
        for slot, name in self.program.specials:
            if name in self.thread_registers:
                value = self.thread_registers[name]
                registers[slot] = value if value.ndim == 0 or len(value) == count else value[:count]
            elif name.startswith("%ctaid."):
                registers[slot] = self._block_index("xyz".index(name[-1]), first, blocks)
        for slot, name, offset in self.program.fixups:
            registers[slot] = np.array(self.variables[name].base + offset, np.int64)
        return registers

    def _block_index(self, axis: int, first: int, blocks: int) -> Any:
        x, y, _ = self.grid
        if self.grid[axis] == 1:
            return np.zeros((), np.int32)
        numbers = np.arange(first, first + blocks)
        values = (numbers % x, numbers // x % y, numbers // (x * y))[axis].astype(np.int32)
        if blocks == 1 or (values == values[0]).all():
            return np.array(values[0])
        return np.repeat(values, self.block_threads)

    # Running

    def run(self) -> None:
        for first in range(0, self.grid_blocks, self.wave_blocks):
            blocks = min(self.wave_blocks, self.grid_blocks - first)
            wave = Wave(self, first, blocks)
            if self.watch is not None:
                self.watch.begin(wave)
            try:
                wave.run()
            except MALFORMED as problem:
                raise wave.unable(problem) from problem

    # Positions

    def thread_position(self, number: int) -> Triple:
        x, y, _ = self.block
        return number % x, number // x % y, number // (x * y)

    def block_position(self, number: int) -> Triple:
        x, y, _ = self.grid
        return number % x, number // x % y, number // (x * y)

    def whereabouts(self, wave: Wave, which: int) -> tuple[str, str, Triple, Triple]:
        """Block and thread at place `which` of the running group, as text and as numbers."""
        return self.whereabouts_of(wave, int(wave.group.threads[which]))

    def whereabouts_of(self, wave: Wave, thread: int) -> tuple[str, str, Triple, Triple]:
        block_at = self.block_position(wave.first + thread // self.block_threads)
        thread_at = self.thread_position(thread % self.block_threads)
        return place(block_at), place(thread_at), block_at, thread_at

    # Memory

    def owner(self, site: Site, address: int) -> tuple[str, Allocation | Span | None]:
        """The space and the variable that an address belongs to, or runs off."""
        if site.space in ("shared", "local"):
            return site.space, self._span(site.space, address)
        region = address >> REGION_BITS
        if region == SHARED:
            return "shared", self._span("shared", address - SHARED_WINDOW)
        if region == LOCAL:
            return "local", self._span("local", address - LOCAL_WINDOW)
        if region == PARAMETERS:
            return "param", self.memory.at(address)
        return "global", self.memory.at(address)

    def _span(self, space: str, address: int) -> Span | None:
        spans = self.shared_spans if space == "shared" else self.program.local_spans
        before = [span for span in spans if span.start <= address]
        return before[-1] if before else (spans[0] if spans else None)

    def view_at(self, site: Site, address: int) -> View | None:
        """What a site sees at an address; None where nothing lies."""
        space, owner = self.owner(site, address)
        if owner is None:
            return None
        if isinstance(owner, Allocation):
            if site.kind != "load" and not owner.writable:
                return None
            return owner.view(site.dtype)
        generic = site.space == "generic"
        key = (space, owner.name, site.dtype, generic)
        if key not in self.span_views:
            memory = self.shared if space == "shared" else self.local
            window = (SHARED_WINDOW if space == "shared" else LOCAL_WINDOW) if generic else 0
            length = owner.end - owner.start
            part = memory[owner.start : owner.start + (len(memory) - owner.start) // site.size * site.size]
            self.span_views[key] = View(
                window + owner.start,
                max(0, length - site.size + 1),
                part.view(site.dtype),
                space,
                space,
                None,
                owner,
            )
        return self.span_views[key]
