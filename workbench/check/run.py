"""Run one implementation over a task's cases and hold every output against the oracle."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from workbench import ptx
from workbench.check import compare
from workbench.check.cases import (
    Prepared,
    as_array,
    as_numbers,
    as_tuple,
    dtype_name,
    on_device,
    placed,
    prepare,
)
from workbench.check.diagnose import LARGE, Evidence, Seen, likely_mistake
from workbench.check.failures import in_shared_memory, in_words, is_bad_access, left_arrays
from workbench.check.lesson import Case, Implementation, Race, Task
from workbench.check.outcome import Outcome, Verdict
from workbench.cuda import observe

THOROUGH = (
    2_000_000  # output elements: larger cases are checked for bounds and values; races show in smaller ones
)


def run_cases(
    task: Task,
    implementation: Implementation,
    device: str,
    *,
    outcome: Outcome,
    announce: Callable[[str], None] = lambda case: None,
    demand: Callable[[Sequence[ptx.Report]], str] | None = None,
) -> Outcome:
    """Fill in `outcome`: how many cases are right and, for the first that isn't, what happened and the likely mistake.

    device: "cpu" or "cuda". announce: told the name of each case before it runs. demand: an exercise's.
    """
    evidence: list[Evidence] = []
    outcome.cases += len(task.cases)
    for index, case in enumerate(task.cases):
        if case.gpu_only and device == "cpu":
            outcome.cases -= 1
            continue
        announce(case.name)
        prepared = prepare(task, index)
        if outcome.what_happened and prepared.size > LARGE:
            break  # cases grow; a large one adds nothing to what a small one has shown
        if implementation.language == "triton" and device == "cpu" and prepared.size > THOROUGH:
            outcome.cases -= 1  # the interpreter takes a millisecond a program; this case is left to a GPU
            continue
        counted = outcome if case is task.counted else None
        reports: list[ptx.Report] = []
        problem, seen = run_case(task, implementation, case, prepared, device, counted, reports)
        if outcome.traffic and case is task.counted:
            outcome.traffic["bytes_needed"] = task.traffic(*prepared.tensors, **case.options)
        evidence.append(Evidence(case, prepared, seen, wrong=bool(problem)))
        if counted and device == "cpu" and not problem:
            problem = _launched_nothing(outcome) or (demand(reports) if demand else "")
        outcome.cases_right += not problem
        if problem and not outcome.what_happened:
            outcome.verdict, outcome.case, outcome.what_happened = Verdict.FAIL, case.name, problem
            outcome.where = "on the GPU" if device == "cuda" else "on the CPU"
        if seen.stopped and not (seen.bad_access and device == "cpu"):
            break  # it would stop again; and after a fault a GPU's context is lost
    if outcome.verdict is Verdict.FAIL:
        mistake = likely_mistake(task.mistakes, evidence)
        if mistake is not None:
            outcome.mistake, outcome.mistake_sentence, outcome.read = (
                mistake.name,
                mistake.sentence,
                mistake.read,
            )
    return outcome


def run_case(
    task: Task,
    implementation: Implementation,
    case: Case,
    prepared: Prepared,
    device: str,
    count_for: Outcome | None,
    reports: list[ptx.Report],
) -> tuple[str, Seen]:
    """(what is wrong with it, or "" if nothing is; what was seen). `reports` gets those of its launches."""
    arguments = tuple(on_device(value, device, host=task.on_host) for value in prepared.tensors)
    outputs_on = "cpu" if task.on_host else device
    thorough, limits = prepared.size <= THOROUGH, ptx.Limits(instructions=task.instructions)
    try:
        with watch(count_for, implementation.language, device, thorough, limits, reports), poisoned_memory():
            outputs = call(implementation, arguments, case.options, outputs_on, prepared)
        if device == "cuda":
            torch.cuda.synchronize()
    except Exception as error:  # whatever the learner's code raises is shown to the learner, in words
        race = error.kind if isinstance(error, Race) else ""
        seen = Seen(
            stopped=True,
            bad_access=is_bad_access(error),
            race=race,
            outside=left_arrays(error),
            shared=in_shared_memory(error),
        )
        return in_words(error), replace(
            seen, outputs=after_a_race(implementation, case, prepared, error, limits)
        )
    try:
        problem = _wrong_kind(outputs, prepared, outputs_on) or _touched(arguments, prepared.tensors, outputs)
    except Exception as error:  # a sparse tensor, say
        problem = f"The output can't be looked at: {in_words(error)}"
    if problem:
        return problem, Seen(stopped=True)
    found = tuple(as_array(out) for out in outputs)
    for place, (out, right, allowed) in enumerate(
        zip(found, prepared.expected, prepared.allowed, strict=True)
    ):
        wrong = compare.wrong_places(out, right, allowed)
        if wrong.any():
            name = task.outputs[place] if task.outputs else "output" if len(found) == 1 else f"output {place}"
            return compare.describe(name, out, right, allowed, wrong), Seen(found)
    return "", Seen(found)


def call(
    implementation: Implementation, arguments: tuple[Any, ...], options: Any, device: str, prepared: Prepared
) -> tuple[Any, ...]:
    """The outputs of one call of an implementation on torch tensors, whatever it works on itself."""
    if implementation.language != "numpy":
        return as_tuple(implementation.function(*arguments, **options, **placed(arguments, device)))
    outputs = as_tuple(implementation.function(*map(as_numbers, arguments), **options))
    return tuple(
        torch.from_numpy(np.asarray(out)).to(dtype)
        for out, dtype in zip(outputs, prepared.dtypes, strict=False)
    )


def _launched_nothing(outcome: Outcome) -> str:
    if not outcome.traffic or outcome.traffic["bytes_asked"]:
        return ""
    return "The answer is right, but no kernel touched the arrays: let the kernel compute it, not PyTorch."


def after_a_race(
    implementation: Implementation, case: Case, prepared: Prepared, error: Exception, limits: ptx.Limits
) -> tuple[np.ndarray, ...]:
    """What a kernel that was stopped for a race would have made of the case; it helps to name the mistake."""
    if not isinstance(error, ptx.GlobalRace | ptx.SharedRace | ptx.AsyncNotWaited):
        return ()
    arguments = tuple(
        value.clone() if isinstance(value, torch.Tensor) else value for value in prepared.tensors
    )
    try:
        with observe(counters=False, checks=False, limits=limits), poisoned_memory():
            outputs = call(implementation, arguments, case.options, "cpu", prepared)
    except Exception:  # it was stopped once, for a reason that is told already
        return ()
    return () if _wrong_kind(outputs, prepared, "cpu") else tuple(map(as_array, outputs))


@contextmanager
def watch(
    outcome: Outcome | None,
    language: str,
    device: str,
    thorough: bool,
    limits: ptx.Limits,
    kept: list[ptx.Report],
) -> Iterator[None]:
    """Watch what runs inside; write what it moved into the outcome (if there is one), and keep the reports."""
    if device == "cuda" or language not in ("cuda", "triton"):
        yield
    elif language == "triton":
        from workbench.triton.interpreter import watched

        with watched(counting=outcome is not None) as triton_watch:
            yield
        if outcome is not None:
            outcome.traffic = {
                "bytes_asked": triton_watch.bytes_asked,
                "bytes_moved": 32 * triton_watch.sectors,
            }
    else:
        with observe(counters=outcome is not None, checks=thorough, limits=limits) as reports:
            yield
        kept.extend(reports)
        if outcome is not None:
            counters = [report.counters for report in reports if report.counters is not None]
            asked = sum(c.global_load_bytes + c.global_store_bytes for c in counters)
            requests, sectors = (
                sum(c.global_requests for c in counters),
                sum(c.global_sectors for c in counters),
            )
            outcome.traffic = {
                "requests": requests,
                "sectors": sectors,
                "sectors_per_request": sectors / requests if requests else 0.0,
                "bytes_asked": asked,
                "bytes_moved": 32 * sectors,
            }


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fill what torch.empty and its kin return with NaN (or the largest integer), so that a gap is seen."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode(
        "warn"
    )  # with it torch fills new memory, so that no run depends on old contents
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def _wrong_kind(outputs: tuple[Any, ...], prepared: Prepared, device: str) -> str:
    if len(outputs) != len(prepared.expected):
        return f"It returned {len(outputs)} outputs; {len(prepared.expected)} are expected."
    for place, (out, right, dtype) in enumerate(
        zip(outputs, prepared.expected, prepared.dtypes, strict=True)
    ):
        name = "output" if len(outputs) == 1 else f"output {place}"
        if not isinstance(out, torch.Tensor):
            return f"The {name} is a {type(out).__name__}; a torch tensor is expected."
        if tuple(out.shape) != right.shape:
            return f"The {name} has shape {tuple(out.shape)}; {right.shape} is expected."
        if out.dtype != dtype:
            return f"The {name} is {dtype_name(out.dtype)}; {dtype_name(dtype)} is expected."
        if out.device.type != device:
            return f"The {name} is on {out.device}; the inputs are on {device}."
    return ""


def _touched(arguments: tuple[Any, ...], originals: tuple[Any, ...], outputs: tuple[Any, ...]) -> str:
    for place, (value, original) in enumerate(zip(arguments, originals, strict=True), 1):
        if not isinstance(value, torch.Tensor) or value.numel() == 0:
            continue
        if any(out.data_ptr() == value.data_ptr() for out in outputs):
            return f"It returned argument {place} itself; a new tensor is expected."
        now = value.cpu()
        if (
            not torch.equal(now, original)
            and not ((now == original) | (now.isnan() & original.isnan())).all()
        ):
            return f"It changed argument {place}; inputs are only to be read."
    return ""
