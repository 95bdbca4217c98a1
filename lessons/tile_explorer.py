"""What the tile explorer shows: naive attention, FlashAttention-1 and -2 in NumPy, watched while they run.

Nothing here computes attention. A `Recorder` stands where the NumPy versions expect their `Memory`; at each call it
notes what moves, and reads the caller's own variables (m, l, the rescale factor, tiles), so that the page shows the
numbers of the code itself.
"""

import sys
from collections.abc import Mapping
from inspect import getsourcelines, unwrap
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from flash_attention.flash_v1 import numpy_version as flash_v1
from flash_attention.flash_v2 import numpy_version as flash_v2
from flash_attention.naive import in_tiles as naive
from flash_attention.trace import Memory

HEAD_DIM = 4
BYTES = 4  # of an element: all of it is float32
LENGTHS = ((16, 16), (13, 13), (8, 16), (16, 8))  # seqlen_q, seqlen_k
TILES = (2, 4, 8)
VERSIONS = {"naive": naive, "flash_v1": flash_v1, "flash_v2": flash_v2}
TITLES = {"naive": "Naive", "flash_v1": "FlashAttention-1", "flash_v2": "FlashAttention-2"}
CODE = {"naive": ("scores", "softmax", "weighted_sum"), "flash_v1": ("one_head",), "flash_v2": ("one_head",)}

# Where the CUDA versions keep what is on chip (flash_v1.cu, flash_v2.cu; for naive, scores.cu, lesson 7's online.cu
# and weighted_sum.cu); a test holds this against their `__shared__` declarations. What isn't named is in registers.
SHARED = {
    "scores": ("Q", "K"),
    "softmax": (),
    "weighted_sum": ("P", "V"),
    "flash_v1": ("Q", "K", "V", "P", "l", "m"),
    "flash_v2": ("Q", "K", "V", "P"),
}

# The names that the versions give to one thing: the first that is there counts.
AFTER = {
    "S": ("S",),
    "P": ("P",),
    "O": ("Oi",),
    "m": ("m_new",),
    "l": ("l_new", "li"),
    "rescale": ("keep", "rescale"),
    "add": ("add",),
}
# A name may still hold what an earlier tile left there, so each function says what it computes at each tile. What it
# stores is read from the call.
COMPUTED = {
    "scores": (),
    "softmax": ("m", "l", "rescale"),
    "weighted_sum": ("O",),
    "one_head": ("S", "P", "O", "m", "l", "rescale", "add"),
}


class Recorder(Memory):
    """A `Memory` that keeps, for each step, what is on chip, what moved, and the numbers, ready for JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[dict[str, Any]] = []
        self._chip: dict[str, Any] = {}  # tiles on chip: name -> index
        self._step: dict[str, Any] = {}
        self._open = False  # a tile was computed, and its numbers haven't been read yet

    def load(self, name: str, index: int, tile: np.ndarray) -> np.ndarray:
        step = self._at(sys._getframe(1), begins=True)
        step["in"][name] = [index, int(tile.size)]
        self._chip[name] = index
        return super().load(name, index, tile)

    def keep(self, name: str, index: int) -> None:
        self._at(sys._getframe(1), begins=True)
        self._chip[name] = index
        super().keep(name, index)

    def compute(self, i: int, j: int) -> None:
        frame = sys._getframe(1)
        step = self._at(frame)
        step.update(i=i, j=j, on=dict(self._chip))
        here = frame.f_locals
        for name, variable in (("m_before", "mi"), ("l_before", "li")):
            if variable in here:
                step[name] = numbers(here[variable])
        self._open = True
        super().compute(i, j)

    def store(self, name: str, target: np.ndarray, tile: np.ndarray) -> None:
        frame = sys._getframe(1)
        step = self._at(frame)
        step["out"][name] = int(tile.size)
        if name in ("S", "P", "O"):  # after the last tile O is complete, and divided
            step[name] = numbers(tile)
        if name == "P":
            step.pop("rescale", None)  # softmax reads S once more, and moves no maximum
        if "i" not in step:  # rows that see no key are written without any tile of S
            step.update(i=frame.f_locals["i"], on=dict(self._chip))
        super().store(name, target, tile)

    def _at(self, frame: FrameType, begins: bool = False) -> dict[str, Any]:
        """The current step; a new one if it `begins` with this call, because the last one has computed or stored."""
        if self._open:
            self._read(frame)
        name = frame.f_code.co_name
        if self._step.get("kernel") != name:
            self._chip = {}  # another kernel begins with an empty chip
        if not self._step or (begins and ("i" in self._step or self._step["out"])):
            self._step = {"kernel": name, "in": {}, "out": {}, "lines": []}
            self.recorded.append(self._step)
        if frame.f_lineno not in self._step["lines"]:
            self._step["lines"].append(frame.f_lineno)
        return self._step

    def _read(self, frame: FrameType) -> None:
        """What the last tile has left in the variables of the version that runs."""
        here, self._open = frame.f_locals, False
        for name in COMPUTED[self._step["kernel"]]:
            variable = next((one for one in AFTER[name] if one in here), None)
            if variable is not None:
                self._step[name] = numbers(here[variable])


def numbers(values: np.ndarray) -> Any:
    """Three decimals of each; what isn't finite as a word, as JSON has no such numbers."""
    if values.ndim > 1:
        return [numbers(row) for row in values]
    return [round(float(x), 3) if np.isfinite(x) else "-inf" if x < 0 else str(x) for x in values]


def inputs(seqlen_q: int, seqlen_k: int) -> tuple[np.ndarray, ...]:
    """q, k, v with the keys' lengths growing, so that the maximum of a row moves from tile to tile."""
    generator = np.random.default_rng(7)
    q, k, v = (
        generator.standard_normal((1, 1, n, HEAD_DIM), dtype=np.float32)
        for n in (seqlen_q, seqlen_k, seqlen_k)
    )
    return q, k * np.linspace(0.5, 2.5, seqlen_k, dtype=np.float32)[:, None], v


def record(
    version: str, arrays: tuple[np.ndarray, ...], causal: bool, Br: int, Bc: int
) -> list[dict[str, Any]]:
    """The steps of one version on one head."""
    memory = Recorder()
    VERSIONS[version].attention(*arrays, causal=causal, Br=Br, Bc=Bc, memory=memory)
    return memory.recorded


def traces() -> dict[str, Any]:
    """Everything that the page needs, ready for JSON."""
    arrays = {f"{sq}x{sk}": inputs(sq, sk) for sq, sk in LENGTHS}
    recorded = {
        f"{version} {size} {Br}x{Bc} {'causal' if causal else 'full'}": record(version, qkv, causal, Br, Bc)
        for version, (size, qkv), Br, Bc, causal in product(
            VERSIONS, arrays.items(), TILES, TILES, (False, True)
        )
    }
    return {
        "head_dim": HEAD_DIM,
        "bytes": BYTES,
        "lengths": LENGTHS,
        "tiles": TILES,
        "versions": TITLES,
        "shared": SHARED,
        "inputs": {
            size: {name: numbers(x[0, 0]) for name, x in zip("QKV", qkv, strict=True)}
            for size, qkv in arrays.items()
        },
        "code": {version: _listing(version) for version in VERSIONS},
        "traces": recorded,
    }


def _listing(version: str) -> Mapping[str, Any]:
    module = VERSIONS[version]
    assert module.__file__ is not None
    found = []
    for name in CODE[version]:
        lines, first = getsourcelines(unwrap(getattr(module, name)))
        found.append({"first": first, "lines": [line.rstrip("\n") for line in lines]})
    path = Path(module.__file__)
    return {"file": "/".join(path.parts[-3:]), "parts": found}
