"""Which of its own attentions PyTorch runs for given inputs, found out by asking it."""

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.backends import cuda
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

CAN_USE = {  # in no order; `chosen` says which comes first
    SDPBackend.FLASH_ATTENTION: cuda.can_use_flash_attention,
    SDPBackend.EFFICIENT_ATTENTION: cuda.can_use_efficient_attention,
    SDPBackend.CUDNN_ATTENTION: cuda.can_use_cudnn_attention,
}


def chosen(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> str:
    """The backend that `scaled_dot_product_attention(q, k, v, **options)` runs, as a name of `SDPBackend`.

    The function asked is the one that PyTorch's own dispatch calls; it has no public name.
    """
    return SDPBackend(torch._fused_sdp_choice(q, k, v, **options)).name


def usable(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> dict[str, str]:
    """For each fused backend of a GPU: "" if it takes these inputs, else PyTorch's reason why not."""
    given = {"attn_mask": None, "dropout_p": 0.0, "is_causal": False, "enable_gqa": False, **options}
    asked = cuda.SDPAParams(q, k, v, *given.values())
    found = {}
    for backend, can_use in CAN_USE.items():
        takes, reasons = heard(lambda can_use=can_use: can_use(asked, debug=True))  # type: ignore[misc]
        found[backend.name] = "" if takes else " ".join(reasons) or "no reason is given"
    return found


def heard(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What `call` returns, and the warnings it gives: as Python's, or PyTorch's own to the process's stderr."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as file, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        os.dup2(file.fileno(), 2)
        try:
            result = call()
        finally:
            os.dup2(before, 2)
            os.close(before)
        file.seek(0)
        printed = re.findall(r"Warning: (.*)", file.read().decode(errors="replace"))
    words = [str(one.message).split(" (Triggered")[0] for one in said] + printed
    return result, [re.sub(r" \(function \w+\)$", "", reason.strip()) for reason in words]


def runs(backend: SDPBackend, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> bool:
    """Does it run when it is the only one allowed?"""
    with sdpa_kernel(backend), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scaled_dot_product_attention(q, k, v, **options)
        except RuntimeError:
            return False
    return True


def inputs(device: str) -> dict[str, tuple[tuple[torch.Tensor, ...], dict[str, Any]]]:
    """Inputs of many kinds to ask about: description -> ((q, k, v), options)."""

    def qkv(
        dtype: torch.dtype = torch.float16, head_dim: int = 64, heads_kv: int = 4, seqlen_q: int = 128
    ) -> tuple[torch.Tensor, ...]:
        shapes = (4, seqlen_q), (heads_kv, 128), (heads_kv, 128)
        return tuple(torch.randn(2, *shape, head_dim, device=device).to(dtype) for shape in shapes)

    mask = torch.ones(128, 128, dtype=torch.bool, device=device)
    return {
        "float16": (qkv(), {}),
        "bfloat16, causal": (qkv(torch.bfloat16), {"is_causal": True}),
        "float32": (qkv(torch.float32), {}),
        "float16, head_dim 256": (qkv(head_dim=256), {}),
        "float16, head_dim 40": (qkv(head_dim=40), {}),
        "float16, head_dim 77": (qkv(head_dim=77), {}),
        "float16, head_dim 512": (qkv(head_dim=512), {}),
        "float16, a mask": (qkv(), {"attn_mask": mask}),
        "float32, a mask": (qkv(torch.float32), {"attn_mask": mask}),
        "float16, causal, 64 queries, 128 keys": (qkv(seqlen_q=64), {"is_causal": True}),
        "float16, 4 heads, 1 K/V head": (qkv(heads_kv=1), {"enable_gqa": True}),
        "float16, dropout": (qkv(), {"dropout_p": 0.1}),
        "float64": (qkv(torch.float64), {}),
    }


def report(device: str) -> list[dict[str, Any]]:
    """For each of `inputs`: the backend chosen, which run when alone, and why the others don't (on a GPU)."""
    found = []
    for name, (tensors, options) in inputs(device).items():
        one: dict[str, Any] = {"inputs": name, "chosen": chosen(*tensors, **options)}
        if device == "cuda":
            one["runs"] = [
                backend.name for backend in (*CAN_USE, SDPBackend.MATH) if runs(backend, *tensors, **options)
            ]
            one["refused"] = {key: why for key, why in usable(*tensors, **options).items() if why}
        found.append(one)
    return found
