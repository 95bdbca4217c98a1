"""What lesson 11 measures on a GPU besides the times of its steps: what Nsight Compute counts, if it is installed."""

import shutil
import subprocess
import sys
from typing import Any

import torch

from cuda_basics.tensor_cores import cuda_version as cuda
from workbench.lessons import ROOT
from workbench.profile import read_ncu

SHAPES = (256, 512), (512, 256)  # of A and B, as the notebook counts them in the PTX machine
SECONDS = 40  # that Nsight Compute may take
METRICS = {
    "wavefronts": tuple(f"l1tex__data_pipe_lsu_wavefronts_mem_shared_op_{kind}.sum" for kind in ("ld", "st")),
    "conflicts": tuple(
        f"l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_{kind}.sum" for kind in ("ld", "st")
    ),
    "registers": ("launch__registers_per_thread",),
    "shared_memory": ("launch__shared_mem_per_block_static", "launch__shared_mem_per_block_dynamic"),
}


def measure() -> dict[str, Any]:
    """{"steps": {step: {what: number}}}, with the shared memory of a block in bytes, in some seconds. Needs a GPU.

    Without Nsight Compute, or where it may not count, there are no steps, and "said" has its words.
    """
    ncu = shutil.which("ncu")
    if ncu is None:
        return {"steps": {}, "said": "Nsight Compute isn't installed"}
    metrics = ",".join(metric for some in METRICS.values() for metric in some)
    command = [ncu, "--csv", "--page", "raw", "--print-units", "base", "--kernel-name", "regex:^matmul_"]
    command += ["--metrics", metrics, sys.executable, "-m", "lessons.lesson11_tensor_cores.measure"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=SECONDS).stdout
    except subprocess.TimeoutExpired:
        return {"steps": {}, "said": f"Nsight Compute took more than {SECONDS} s"}
    steps = {name.removeprefix("matmul_"): values for name, values in read_ncu(said, METRICS)}
    return {"steps": steps, "said": "" if steps else said[-500:]}


if __name__ == "__main__":  # what ncu watches
    matrices = [torch.rand(shape, device="cuda").bfloat16() for shape in SHAPES]
    for matmul in cuda.STEPS.values():
        matmul(*matrices)
    torch.cuda.synchronize()
