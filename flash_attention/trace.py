"""What the tiled NumPy versions move between memory and chip, step by step."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

WAIT_IN_FLOAT32 = {"l", "m", "LSE"}  # whatever the dtype of q, k, v and o is


@dataclass(frozen=True)
class Step:
    """Tile (i, j) of S is computed.

    tiles: which tile of each array is on chip. loaded, stored: elements of each array that moved for this step.
    """

    head: int
    i: int
    j: int
    tiles: dict[str, int]
    loaded: Counter[str]
    stored: Counter[str]


@dataclass
class Memory:
    """Global memory as a tiled version sees it: `load` brings a tile on chip, `store` writes one back, noted both."""

    steps: list[Step] = field(default_factory=list)
    head: int = -1
    _tiles: dict[str, int] = field(default_factory=dict)
    _loaded: Counter[str] = field(default_factory=Counter)

    def next_head(self) -> None:
        self.head += 1
        self._tiles = {}

    def load(self, name: str, index: int, tile: np.ndarray) -> np.ndarray:
        """Tile `index` of the array `name`."""
        self._tiles[name] = index
        self._loaded[name] += tile.size
        return tile

    def keep(self, name: str, index: int) -> None:
        """A tile that begins on chip: nothing moves."""
        self._tiles[name] = index

    def compute(self, i: int, j: int) -> None:
        """Tile (i, j) of S is computed with what is on chip."""
        self.steps.append(Step(self.head, i, j, dict(self._tiles), self._loaded, Counter()))
        self._loaded = Counter()

    def store(self, name: str, target: np.ndarray, tile: np.ndarray) -> None:
        """Write a tile back to its place in the array `name`."""
        target[...] = tile
        if self.steps and self.steps[-1].head == self.head:
            self.steps[-1].stored[name] += tile.size

    def moved(self, itemsize: int, o_itemsize: int) -> int:
        """Bytes loaded and stored in all, for q, k and v of `itemsize` bytes an element and o of `o_itemsize`."""
        size = {"O": o_itemsize, **dict.fromkeys(WAIT_IN_FLOAT32, 4)}
        moves = (counter for step in self.steps for counter in (step.loaded, step.stored))
        return sum(size.get(name, itemsize) * count for counter in moves for name, count in counter.items())
