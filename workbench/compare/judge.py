"""One candidate on one shape: is it right? Whatever happens is told in a word and a sentence."""

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from workbench.check import compare
from workbench.check.cases import as_tuple
from workbench.check.failures import in_words
from workbench.check.run import poisoned_memory
from workbench.compare.candidates import Candidate, Unsupported
from workbench.compare.oracle import Expected, Inputs
from workbench.compare.shapes import Shape

RIGHT, WRONG, OUT_OF_MEMORY, UNSUPPORTED, FAILED = "right", "wrong", "out of memory", "unsupported", "failed"


class Lost(Exception):
    """The GPU's context is lost: nothing runs in this process any more."""


def call(candidate: Candidate, shape: Shape, given: Inputs) -> Callable[[], tuple[torch.Tensor, ...]]:
    """What is judged and timed: a forward pass, or a forward and a backward one, returning o (and lse), dq, dk, dv."""

    def forward() -> tuple[Any, ...]:
        return as_tuple(candidate.function(given.q, given.k, given.v, causal=shape.causal))

    def both() -> tuple[Any, ...]:
        leaves = [x.detach().requires_grad_() for x in (given.q, given.k, given.v)]
        o = as_tuple(candidate.function(*leaves, causal=shape.causal))[0]
        if not getattr(o, "requires_grad", False):
            raise Unsupported("it has no backward pass")
        return (o, *torch.autograd.grad(o, leaves, given.do))

    return both if shape.backward else forward


def judge(
    candidate: Candidate, shape: Shape, given: Inputs, right: Expected, run: Callable[[], tuple[Any, ...]]
) -> tuple[str, str]:
    """(RIGHT, WRONG, ..., and a sentence, if there is something to say), of one call in poisoned memory.

    Raises Lost if the GPU can't go on.
    """
    before = [x.clone() for x in given.all]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with poisoned_memory():
                outputs = run()
            if given.q.is_cuda:
                torch.cuda.synchronize()
        except Exception as error:  # of whoever wrote it
            return refusal(error, candidate.file, [str(one.message) for one in said], on_gpu=given.q.is_cuda)
    names = ("o", "dq", "dk", "dv") if shape.backward else ("o", "lse")[: len(outputs)]
    wanted = dict(zip(("o", "dq", "dk", "dv"), (given.q, given.q, given.k, given.v), strict=True))
    for name, output in zip(names, outputs, strict=False):
        like = wanted.get(name)
        size, dtype = (like.shape, like.dtype) if like is not None else (given.q.shape[:3], torch.float32)
        problem = _wrong_kind(name, output, size, dtype, given.q.device)
        problem = problem or _wrong_values(name, output, right)
        if problem:
            return WRONG, problem
    for name, x, old in zip(("q", "k", "v", "dO"), given.all, before, strict=False):
        if not torch.equal(x, old):
            x.copy_(old)
            return WRONG, f"It changed {name}; inputs are only to be read."
    return RIGHT, ""


def _wrong_kind(name: str, output: Any, size: Any, dtype: torch.dtype, device: torch.device) -> str:
    if not isinstance(output, torch.Tensor):
        return f"{name} is a {type(output).__name__}; a torch tensor is expected."
    if output.shape != size:
        return f"{name} has shape {tuple(output.shape)}; {tuple(size)} is expected."
    if output.dtype != dtype:
        return f"{name} is {output.dtype}; {dtype} is expected."
    if output.device.type != device.type:
        return f"{name} is on {output.device}; the inputs are on {device}."
    return ""


def _wrong_values(name: str, output: torch.Tensor, right: Expected) -> str:
    found, oracle, allowed = right.part(name, output.detach()), right.values[name], right.allowed[name]
    wrong = ~((found - oracle).abs() <= allowed.floor + allowed.slope * oracle.abs())  # NaN is wrong, too
    if wrong.any():
        shown = found.double().cpu().numpy()
        words = compare.describe(name, shown, oracle.cpu().numpy(), allowed, wrong.cpu().numpy())
        return words.replace("\n", " ")
    if not output.isfinite().all():
        return f"{name} holds NaN or infinity in a head whose values weren't judged."
    return ""


def refusal(
    error: Exception, file: Path | None = None, said: Sequence[str] = (), *, on_gpu: bool
) -> tuple[str, str]:
    """What an exception means: a status and a sentence. Raises Lost if the GPU can't go on.

    file: of the user's own function. said: PyTorch's reasons, which it gives as warnings.
    """
    if isinstance(error, torch.OutOfMemoryError) or "OutOfMemory" in type(error).__name__:
        if on_gpu:
            torch.cuda.empty_cache()
        return OUT_OF_MEMORY, ""
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY, ""
    refuses = (Unsupported, NotImplementedError) + ((ValueError,) if file is None else ())
    if isinstance(error, refuses):
        return UNSUPPORTED, str(error)
    words = re.sub(
        r"\n(Search for `cuda|CUDA kernel errors)[\s\S]*", ".", in_words(error, file)
    )  # advice for others
    words = re.sub(r"\n +\d+ \|.*\n", " ", words)  # the line's text: its number is enough here
    words = " ".join(words.split())
    if "No available kernel" in words or "No viable backend" in words:
        reasons = [one.split(" (Triggered")[0] for one in said]
        telling = [r for r in reasons if "runtime disabled" not in r and not r.endswith("not used because:")]
        return UNSUPPORTED, " ".join(dict.fromkeys(telling)) or "PyTorch gives no reason"
    if on_gpu:
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            raise Lost(words) from error
    return FAILED, words
