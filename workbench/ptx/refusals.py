"""What this machine doesn't execute, and why: by the beginning of an instruction's name, with its PTX ISA section."""

from __future__ import annotations

ISA = "https://docs.nvidia.com/cuda/parallel-thread-execution/#instruction-set"

# Beginning of the instruction, section, what it is for and what can be done. The first that fits counts.
_REFUSED = (
    (
        "mbarrier",
        "9.7.13.15",
        "Barriers in shared memory (cuda::barrier, cuda::pipeline between threads) need a GPU; a block's threads can "
        "wait for each other with __syncthreads(), and for copies with cp.async.wait_group",
    ),
    (
        "cp.async.mbarrier",
        "9.7.13.15",
        "Barriers in shared memory need a GPU; wait for copies with cp.async.wait_group",
    ),
    (
        "cp.async.bulk",
        "9.7.9.25",
        "Bulk copies and tensor copies (TMA) need a GPU; cp.async copies 4, 8 or 16 bytes a thread",
    ),
    ("cp.reduce.async.bulk", "9.7.9.25", "Bulk copies (TMA) need a GPU"),
    ("wgmma", "9.7.15", "Matrix products of a warpgroup need a GPU (Hopper); mma.sync runs here"),
    ("tcgen05", "9.7.16", "Tensor memory needs a GPU (Blackwell); mma.sync runs here"),
    ("barrier.cluster", "9.7.13.3", "Clusters of blocks need a GPU (Hopper)"),
    ("mapa", "9.7.9.23", "Clusters of blocks need a GPU (Hopper)"),
    ("getctarank", "9.7.9.24", "Clusters of blocks need a GPU (Hopper)"),
    ("griddepcontrol", "9.7.13.13", "Launches that depend on each other need a GPU"),
    ("setmaxnreg", "9.7.19", "Registers can't be moved between warps here"),
    ("tex", "9.7.10", "Textures need a GPU: read the array by its pointer"),
    ("tld4", "9.7.10", "Textures need a GPU: read the array by its pointer"),
    ("suld", "9.7.11", "Surfaces need a GPU: use the array by its pointer"),
    ("sust", "9.7.11", "Surfaces need a GPU: use the array by its pointer"),
    *(
        (name, "9.7.18", "Video instructions of single values aren't there: write what they compute in C++")
        for name in ("vadd", "vsub", "vabsdiff", "vmin", "vmax", "vshl", "vshr", "vmad", "vset")
    ),
    ("alloca", "9.7.17", "Local arrays of a length that isn't known to the compiler don't exist here"),
)  # fmt: skip

# The families of instructions, for those of which some form isn't there.
_FAMILIES = (
    (("mma", "wmma", "ldmatrix", "stmatrix", "movmatrix"), "9.7.14"),
    (("atom", "red", "vote", "match", "redux", "bar", "barrier", "fence", "membar", "elect"), "9.7.13"),
    (("bra", "brx", "call", "ret", "exit"), "9.7.12"),
    (("mov", "shfl", "prmt", "ld", "st", "cvta", "cvt", "cp", "isspacep"), "9.7.9"),
    (("and", "or", "xor", "not", "cnot", "lop3", "shf", "shl", "shr"), "9.7.8"),
    (("set", "setp", "selp", "slct"), "9.7.6"),
)


def section_and_reason(opcode: str) -> tuple[str, str]:
    """Where the PTX ISA describes an instruction, and what to know of it here, if there is anything."""
    for start, section, reason in _REFUSED:
        if opcode == start or opcode.startswith(start + "."):
            return section, reason + "."
    name = opcode.split(".")[0]
    return next((section for names, section in _FAMILIES if name in names), "9.7"), ""
