"""Load a kernel from a .cu file and launch it: on a GPU through CuPy, without one in the PTX machine.

    kernel = load("vector_add.cu", "vector_add", defines={"SCALAR": "float"})
    kernel(grid, block, (a, b, c, np.int32(n)), shared_memory=0)

Where the tensors live decides: tensors on a GPU run there, tensors on the CPU run in the PTX machine, which executes
what the same compiler (NVRTC) made of the same file and watches every access.
"""

from workbench.cuda.compiler import CompileError, KernelNotFound, NvrtcMissing, check_nvrtc
from workbench.cuda.kernel import Kernel, LaunchError, load
from workbench.cuda.observe import observe
from workbench.cuda.resources import Resources, resources

__all__ = [
    "CompileError",
    "Kernel",
    "KernelNotFound",
    "LaunchError",
    "NvrtcMissing",
    "Resources",
    "check_nvrtc",
    "load",
    "observe",
    "resources",
]
