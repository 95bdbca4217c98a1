"""What the memory system would see: requests, sectors and bytes, for each instruction, line and launch.

A request is one warp executing one access with at least one active lane. Global memory moves in sectors of 32 bytes:
a request touches the distinct sectors that its lanes' addresses lie in. Accesses count as the PTX writes them: ptxas
may join neighbouring ones of a thread into one that is wider, and the GPU then needs fewer requests and wavefronts.

As in Nsight Compute, atomics are neither loads nor stores; nor is what cp.async writes to shared memory a store. Reads
of constant memory (`ld.const`) go through a cache of their own and aren't counted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.ptx.banks import Banks
from workbench.ptx.model import Instruction
from workbench.ptx.program import Block, Ending, Program, Site

if TYPE_CHECKING:
    from workbench.ptx.wave import Group

SECTOR = 32  # bytes


@dataclass
class Counters:
    """Counts of a launch, or of one source line. Bytes are those that threads asked for; a sector is 32 bytes moved."""

    global_load_requests: int = 0
    global_store_requests: int = 0
    global_load_sectors: int = 0
    global_store_sectors: int = 0
    global_load_bytes: int = 0
    global_store_bytes: int = 0
    global_atomic_requests: int = 0
    global_atomic_sectors: int = 0
    shared_load_requests: int = 0
    shared_store_requests: int = 0
    shared_atomic_requests: int = 0
    shared_copy_requests: int = 0  # cp.async, which also counts as a global load
    shared_load_wavefronts: int = 0
    shared_store_wavefronts: int = 0
    shared_load_bank_conflicts: int = 0
    shared_store_bank_conflicts: int = 0
    divergent_branches: int = 0
    cuda_core_operations: int = 0  # floating-point: an addition is one, a fused multiply-add two
    tensor_core_operations: int = 0  # an mma of m x n x k is 2 m n k
    tensor_core_operations_beside_copies: int = (
        0  # of those, by warps with a cp.async of their own still under way
    )
    thread_instructions: int = 0
    warp_instructions: int = 0
    instructions: dict[str, int] = field(
        default_factory=dict
    )  # thread instructions by the first word of their name

    @property
    def global_requests(self) -> int:
        return self.global_load_requests + self.global_store_requests

    @property
    def global_sectors(self) -> int:
        return self.global_load_sectors + self.global_store_sectors

    @property
    def sectors_per_request(self) -> float:
        """4 for coalesced 4-byte accesses of a full warp; 32 when every lane needs a sector of its own."""
        return self.global_sectors / self.global_requests if self.global_requests else 0.0

    @property
    def bytes_moved(self) -> int:
        return SECTOR * self.global_sectors

    @property
    def shared_requests(self) -> int:
        loads_and_stores = self.shared_load_requests + self.shared_store_requests
        return loads_and_stores + self.shared_atomic_requests + self.shared_copy_requests

    @property
    def shared_wavefronts(self) -> int:
        """Of loads and stores."""
        return self.shared_load_wavefronts + self.shared_store_wavefronts

    @property
    def bank_conflicts(self) -> int:
        """Wavefronts of loads and stores in shared memory beyond those that they need without conflicts."""
        return self.shared_load_bank_conflicts + self.shared_store_bank_conflicts

    def add(self, other: Counters) -> None:
        for entry in fields(self):
            if entry.name != "instructions":
                setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))
        for kind, number in other.instructions.items():
            self.instructions[kind] = self.instructions.get(kind, 0) + number


class Counting:
    """Gathers counts while a launch runs."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.threads = [0] * len(program.blocks)
        self.warps = [0] * len(program.blocks)
        self.sites: list[Counters | None] = [None] * len(program.sites)
        self.branches: dict[int, tuple[Instruction, int]] = {}
        self.beside: dict[int, tuple[Instruction, int]] = {}
        self.banks = Banks()

    def block(self, block: Block, group: Group) -> None:
        self.threads[block.number] += group.count
        self.warps[block.number] += group.warps

    def divergence(self, ending: Ending, taken: npt.NDArray[np.bool_], group: Group) -> None:
        """Count the warps of which some threads go one way and some the other."""
        ins = ending.instruction
        if ins is None:
            return
        if group.whole_warps:
            votes = np.count_nonzero(taken.reshape(-1, 32), axis=1)
            split = int(np.count_nonzero((votes > 0) & (votes < 32)))
        else:
            warp = group.warp - group.warp[0]
            votes, present = np.bincount(warp, taken), np.bincount(warp)
            split = int(np.count_nonzero((votes > 0) & (votes < present)))
        if split:
            before = self.branches.get(id(ending), (ins, 0))[1]
            self.branches[id(ending)] = (ins, before + split)

    def beside_copies(self, ins: Instruction, warps: int) -> None:
        """Some warps do a matrix instruction while copies of theirs are under way."""
        self.beside[id(ins)] = ins, self.beside.get(id(ins), (ins, 0))[1] + warps

    def global_access(self, site: Site, addresses: Any, group: Group, which: Any = None) -> None:
        counters = self.sites[site.number]
        if counters is None:
            counters = self.sites[site.number] = Counters()
        count = group.count
        requests = group.warps
        if which is not None:
            count = len(which)
            warp = group.warp[which]
            requests = warps_among(warp)
            touched = requests if addresses.ndim == 0 else sectors(addresses, warp)
        elif addresses.ndim == 0:
            touched = requests
        elif group.whole_warps:
            touched = sectors_of_warps(addresses)
        else:
            touched = sectors(addresses, group.warp)
        size = site.size * count
        if site.kind == "load":
            counters.global_load_requests += requests
            counters.global_load_sectors += touched
            counters.global_load_bytes += size
        elif site.kind in ("atomic", "reduction"):
            counters.global_atomic_requests += requests
            counters.global_atomic_sectors += touched
        else:
            counters.global_store_requests += requests
            counters.global_store_sectors += touched
            counters.global_store_bytes += size

    def shared_access(self, site: Site, offsets: Any, group: Group, which: Any = None) -> None:
        counters = self.sites[site.number]
        if counters is None:
            counters = self.sites[site.number] = Counters()
        if site.kind not in ("load", "store"):
            requests = group.warps if which is None else warps_among(group.warp[which])
            if site.kind == "copy":
                counters.shared_copy_requests += requests
            else:
                counters.shared_atomic_requests += requests
            return
        if offsets.ndim == 0:
            requests = wavefronts = least = group.warps
        else:
            matrix, present = _by_warp(offsets, group, which)
            requests = len(matrix)
            wavefronts, least = self.banks.wavefronts(matrix, present, site.size)
        if site.kind == "load":
            counters.shared_load_requests += requests
            counters.shared_load_wavefronts += wavefronts
            counters.shared_load_bank_conflicts += wavefronts - least
        else:
            counters.shared_store_requests += requests
            counters.shared_store_wavefronts += wavefronts
            counters.shared_store_bank_conflicts += wavefronts - least

    def lines(self) -> dict[tuple[str, int], Counters]:
        """The counts of each CUDA line."""
        result: dict[tuple[str, int], Counters] = {}

        def at(ins: Instruction) -> Counters:
            return result.setdefault((ins.file, ins.line), Counters())

        for block, threads, warps in zip(self.program.blocks, self.threads, self.warps, strict=True):
            if threads:
                for ins in block.instructions:
                    line = at(ins)
                    line.thread_instructions += threads
                    line.warp_instructions += warps
                    line.cuda_core_operations += threads * floating_operations(ins)
                    line.tensor_core_operations += warps * matrix_operations(ins)
                    kind = ins.parts[0]
                    line.instructions[kind] = line.instructions.get(kind, 0) + threads
        for site, counters in zip(self.program.sites, self.sites, strict=True):
            if counters is not None:
                at(site.instruction).add(counters)
        for ins, split in self.branches.values():
            at(ins).divergent_branches += split
        for ins, warps in self.beside.values():
            at(ins).tensor_core_operations_beside_copies += warps * matrix_operations(ins)
        return result


def _by_warp(offsets: Any, group: Group, which: Any) -> tuple[Any, Any]:
    """Offsets as a matrix, warps by lanes, and which lanes take part (None: all)."""
    if which is None and group.whole_warps:
        return offsets.reshape(-1, 32), None
    warp, lane = (group.warp, group.lane) if which is None else (group.warp[which], group.lane[which])
    row = np.concatenate(([0], np.cumsum(np.diff(warp) != 0)))
    matrix = np.zeros((int(row[-1]) + 1, 32), np.int64)
    present = np.zeros(matrix.shape, np.bool_)
    matrix[row, lane], present[row, lane] = offsets, True
    return matrix, present


_FLOATS = ("f16", "f16x2", "bf16", "bf16x2", "f32", "f32x2", "f64")
_ONE = ("add", "sub", "mul", "div", "rcp", "sqrt", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh", "min", "max")


def floating_operations(ins: Instruction) -> int:
    """How many floating-point operations one thread does in an instruction."""
    name, kind = ins.parts[0], ins.parts[-1]
    if kind not in _FLOATS or name not in ("fma", "mad", *_ONE):
        return 0
    return (2 if name in ("fma", "mad") else 1) * (2 if kind.endswith("x2") else 1)


def matrix_operations(ins: Instruction) -> int:
    """How many operations one warp does in a matrix instruction."""
    if ins.parts[0] not in ("mma", "wmma") or (ins.parts[0] == "wmma" and ins.parts[1] != "mma"):
        return 0
    found = next((match for part in ins.parts if (match := re.fullmatch(r"m(\d+)n(\d+)k(\d+)", part))), None)
    return 2 * int(found[1]) * int(found[2]) * int(found[3]) if found else 0


def total(lines: Iterable[Counters]) -> Counters:
    result = Counters()
    for counters in lines:
        result.add(counters)
    return result


def warps_among(warp: npt.NDArray[np.int64]) -> int:
    """How many warps threads belong to, given in order the warp of each."""
    return 1 + int(np.count_nonzero(np.diff(warp)))


def sectors_of_warps(addresses: npt.NDArray[np.int64]) -> int:
    """Distinct 32-byte sectors in each full warp of 32 addresses, summed. Aligned accesses never cross a sector."""
    sector = (addresses >> 5).reshape(-1, 32)
    step = sector[:, 1:] - sector[:, :-1]
    if (
        int(np.bitwise_or.reduce(step, axis=None)) < 0
    ):  # some lane lies below its neighbour: put them in order
        sector = np.sort(sector, axis=1)
        step = sector[:, 1:] - sector[:, :-1]
    return int(np.count_nonzero(step)) + len(sector)


def sectors(addresses: npt.NDArray[np.int64], warp: npt.NDArray[np.int64]) -> int:
    """The same for any threads; `warp` says which warp each address belongs to."""
    sector = addresses >> 5
    order = np.lexsort((sector, warp))
    sector, warp = sector[order], warp[order]
    return 1 + int(np.count_nonzero((np.diff(sector) != 0) | (np.diff(warp) != 0)))
