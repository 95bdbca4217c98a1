"""Attention in three languages behind one door.

    from flash_attention import attention, implementations

    o = attention(q, k, v, causal=True)
    o, lse = attention(q, k, v, implementation="flash_v2/triton", return_lse=True)

Each implementation is a function `attention(q, k, v, *, causal=False, scale=None) -> (o, lse)` in the module that
`MODULES` names. "cuda" and "triton" ones take torch tensors, on a GPU or the CPU, and return new ones on the same
device: o of q's shape and dtype, lse (B, H, Sq) in float32. So do "gluon" ones, on Hopper GPUs alone. "numpy" ones take
and return NumPy arrays and are adapted here. `reference.attention` says what all of them compute, `arguments.check`
what they refuse.
"""

import difflib
import importlib
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

import workbench as workbench  # decides how Triton runs, before anything imports it
from flash_attention import arguments

MODULES = {  # a new implementation is a line here
    "naive/numpy": "flash_attention.naive.numpy_version",
    "naive/triton": "flash_attention.naive.triton_version",
    "naive/cuda": "flash_attention.naive.cuda_version",
    "flash_v1/numpy": "flash_attention.flash_v1.numpy_version",
    "flash_v1/triton": "flash_attention.flash_v1.triton_version",
    "flash_v1/cuda": "flash_attention.flash_v1.cuda_version",
    "flash_v2/numpy": "flash_attention.flash_v2.numpy_version",
    "flash_v2/triton": "flash_attention.flash_v2.triton_version",
    "flash_v2/cuda": "flash_attention.flash_v2.cuda_version",
    "flash_v2/gluon": "flash_attention.flash_v2.gluon_version",
    "flash_v2_tensor_cores/cuda": "flash_attention.tensor_cores.cuda_version",
    "flash_v2_tensor_cores/triton": "flash_attention.tensor_cores.triton_version",
}
Attention = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    causal: bool = False,
    scale: float | None = None,
    implementation: str | None = None,
    return_lse: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """softmax(Q Kᵀ · scale) V on torch tensors (float32, float16 or bfloat16; any strides; CPU or GPU).

    q: (B, H, Sq, D). k, v: (B, Hkv, Sk, D), where Hkv divides H. causal: query i sees key j if j <= i + Sk - Sq.
    scale: 1 / sqrt(D) if None. implementation: a name of `implementations()`; None takes the fastest for the device.
    Returns o (B, H, Sq, D) in q's dtype; with return_lse also lse (B, H, Sq), float32, natural logarithm. A query that
    sees no key gives o = 0 and lse = -inf. NaN and inf reach those who see them; with causal=True, the versions of
    flash_v2_tensor_cores and flash_v2/gluon, which are taken on Hopper GPUs, may let those in v reach others of their
    tile, as the official kernels do. No gradients flow.

    Raises ValueError for arguments that don't fit together, that the implementation doesn't support, or an unknown
    name.
    """
    if implementation is None:
        implementation = _fastest(q)
    if not isinstance(implementation, str) or implementation not in MODULES:
        near = difflib.get_close_matches(str(implementation), MODULES, n=3, cutoff=0.4) or list(MODULES)
        raise ValueError(
            f"implementation is {implementation!r}; the nearest that exist are {', '.join(near)}"
        )
    o, lse = _call(implementation, q, k, v, causal=causal, scale=scale)
    return (o, lse) if return_lse else o


def implementations() -> dict[str, Attention]:
    """Every implementation by name, as functions (q, k, v, *, causal=False, scale=None) -> (o, lse) on torch tensors.

    A module is imported at its first call.
    """
    return {name: partial(_call, name) for name in MODULES}


def _fastest(q: torch.Tensor) -> str:
    """The name of what is fastest where q lives, and takes its head_dim."""
    if not (isinstance(q, torch.Tensor) and q.is_cuda and q.dim() > 0):
        return "flash_v2/numpy"
    if q.shape[-1] > 256:
        return "naive/triton"
    capability = torch.cuda.get_device_capability(q.device)
    described = q.dtype in (torch.float16, torch.bfloat16) and q.shape[-1] % 8 == 0
    if capability == (9, 0) and described and q.shape[-1] == 128:  # at 64 it is slower; others weren't timed
        return "flash_v2/gluon"
    hopper = capability >= (9, 0)  # or newer: with a unit that copies tiles
    return "flash_v2_tensor_cores/triton" if hopper and described else "flash_v2/triton"


def _call(
    name: str,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    if not isinstance(causal, bool | np.bool_):
        raise ValueError(f"causal is {causal!r}; it must be True or False")
    function = importlib.import_module(MODULES[name]).attention
    if not name.endswith("/numpy"):
        return function(q, k, v, causal=causal, scale=scale)
    _, scale = arguments.check(q, k, v, scale)
    arrays = (x.detach().double().cpu().numpy() for x in (q, k, v))
    o, lse = (torch.from_numpy(x).to(q.device) for x in function(*arrays, causal=causal, scale=scale))
    return o.to(q.dtype), lse.float()
