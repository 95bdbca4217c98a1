"""The launches that are compared, on a GPU and in the PTX machine.

    python -m benchmarks.ptx_machine.launches [NAME ...]     launch these (all, by default) on the GPU, in order

The launches are the test suite's (tests/ptx/kernels).
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.cuda import load

ROOT = Path(__file__).resolve().parent.parent.parent


def cases() -> dict[str, Any]:
    """The cases by their names: the small ones, then the large."""
    folder = str(ROOT / "tests" / "ptx")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    programs = importlib.import_module("kernels")
    return {**programs.CASES, **{f"{name}, large": case for name, case in programs.LARGE.items()}}


def chosen(names: list[str]) -> dict[str, Any]:
    """The cases of these names; all without names. Raises `SystemExit` for a name that isn't there."""
    known = cases()
    missing = [name for name in names if name not in known]
    if missing:
        raise SystemExit(f"there is no launch named {missing[0]!r}; there are: {'; '.join(known)}")
    return {name: known[name] for name in names} if names else known


def tensor(value: Any, device: str) -> Any:
    """An argument as `workbench.cuda` takes it: uint16 arrays are bfloat16, uint32 are passed as int32."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == np.uint16:
        return torch.from_numpy(value.view(np.int16).copy()).view(torch.bfloat16).to(device)
    signed = value.view(np.int32) if value.dtype == np.uint32 else value
    return torch.from_numpy(signed.copy()).to(device)


def array(value: Any, like: Any) -> Any:
    """The reverse of `tensor`."""
    if not isinstance(value, torch.Tensor):
        return value
    bits = value.view(torch.int16) if value.dtype == torch.bfloat16 else value
    return bits.cpu().numpy().view(like.dtype).reshape(like.shape)


def on_gpu(case: Any, arguments: list[Any], device: str = "cuda") -> list[Any]:
    """Launch a case on the GPU; returns the arguments as they are afterwards, in NumPy."""
    passed = [tensor(value, device) for value in arguments]
    kernel = load(case.path, case.kernel, case.defines)
    kernel(case.grid, case.block, passed, shared_memory=case.shared_memory)
    if device == "cuda":
        torch.cuda.synchronize()
    return [array(value, given) for value, given in zip(passed, arguments, strict=True)]


def main(names: list[str]) -> int:
    for name, case in chosen(names).items():
        print(f"launching {name}", flush=True)
        on_gpu(case, case.arguments())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
