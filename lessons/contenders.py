"""Who takes part in `make compare`: the course's attentions, PyTorch's own, and the official packages if installed."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from flash_attention import implementations
from workbench.compare.candidates import Candidate, Unsupported
from workbench.gpu import has_gpu

BACKENDS = {
    "pytorch/math": SDPBackend.MATH,
    "pytorch/efficient": SDPBackend.EFFICIENT_ATTENTION,
    "pytorch/flash": SDPBackend.FLASH_ATTENTION,
    "pytorch/cudnn": SDPBackend.CUDNN_ATTENTION,
}
ON_A_GPU = ("pytorch/efficient", "pytorch/cudnn", "flash_v2/gluon")
OFFICIAL = {  # name -> the modules that may hold its flash_attn_func, and the package that brings them
    "flash_attn/2": (("flash_attn.flash_attn_interface",), "flash-attn"),
    "flash_attn/3": (("flash_attn_interface", "fa3_fwd_interface"), "flash-attn's hopper folder, or fa3-fwd"),
    "flash_attn/4": (("flash_attn.cute",), "flash-attn-4"),
}


def contenders() -> dict[str, Candidate]:
    """All of them by name. What is imported only at the first call may still be missing then."""
    missing = {} if has_gpu() else dict.fromkeys(ON_A_GPU, "it needs a GPU")
    ours = [
        Candidate(name, one, name.split("/")[1], missing.get(name, ""))
        for name, one in implementations().items()
    ]
    pytorchs = [Candidate("pytorch", pytorch, "pytorch")]  # the one that PyTorch picks by itself
    for name, backend in BACKENDS.items():
        function = partial(pytorch, backend=backend)
        pytorchs.append(Candidate(name, function, "pytorch", missing.get(name, "")))
    official = [_official(name, *where) for name, where in OFFICIAL.items()]
    return {one.name: one for one in (*ours, *pytorchs, *official)}


def pytorch(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool, backend: SDPBackend | None = None
) -> torch.Tensor:
    """PyTorch's own, by one backend or by the one that it picks. Its causal mask is ours where Sq = Sk."""
    call = partial(scaled_dot_product_attention, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])
    if backend is None:
        return call(q, k, v)
    with sdpa_kernel(backend):
        return call(q, k, v)


def _official(name: str, modules: tuple[str, ...], package: str) -> Candidate:
    module = next(filter(_is_there, modules), "")
    missing = "" if module else f"it isn't installed (package {package})"
    if module and not has_gpu():
        missing = "it needs a GPU"
    return Candidate(name, partial(_flash_attn, module), "pytorch", missing)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # the package that it would lie in isn't there, or is broken
        return False


def _flash_attn(
    module: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool
) -> torch.Tensor:
    """The official interface, which takes and returns (B, S, H, D)."""
    try:
        if module == "fa3_fwd_interface":  # which looks for its settings under another name
            sys.modules.setdefault("flash_attn_config", importlib.import_module("fa3_fwd_config"))
        function: Callable[..., Any] = importlib.import_module(module).flash_attn_func
    except (ImportError, AttributeError) as error:  # built for another PyTorch, or another version's layout
        raise Unsupported(f"{module} can't be used: {error}") from error
    found = function(*(x.transpose(1, 2) for x in (q, k, v)), causal=causal)
    o: torch.Tensor = found[0] if isinstance(found, tuple) else found
    return o.transpose(1, 2)
