"""What this very GPU can do at most, measured in the run that speaks of it."""

from functools import lru_cache

import torch

from workbench.timing.stopwatch import measure

GIB = 2**30


@lru_cache
def copy_bandwidth() -> float:
    """Bytes a second of a device-to-device copy of 1 GiB, counting bytes read and bytes written."""
    source = torch.randint(0, 255, (GIB,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * GIB / (measure(lambda: target.copy_(source)).median * 1e-3)
