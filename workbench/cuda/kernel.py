"""A kernel that launches wherever its tensors live."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench import ptx
from workbench.cuda.compiler import KernelNotFound, Program, compile_file
from workbench.cuda.observe import current
from workbench.cuda.resources import read_resources
from workbench.cuda.signature import Parameter, parameters
from workbench.gpu import has_gpu

LaunchError = ptx.LaunchError
REGISTERS = 65_536  # of a multiprocessor: CUDA C++ Programming Guide, compute capabilities
ALWAYS_FIT = REGISTERS // 256  # threads of a block: each has 255 registers at most
Dimensions = int | Sequence[int]


def load(path: Path | str, name: str, defines: Mapping[str, object] | None = None) -> "Kernel":
    """The kernel `name` of a .cu file. It is read and compiled at its first launch, once for each target.

    path: a relative one counts from the working directory. defines: macros for the compiler, {"HEAD_DIM": 64}.
    After a change to the file, load it again.
    """
    return Kernel(Path(path), name, dict(defines or {}))


class Kernel:
    """A kernel of a .cu file; call it to launch it."""

    def __init__(self, path: Path, name: str, defines: dict[str, object]) -> None:
        self.path, self.name, self.defines = path, name, defines
        self._compiled: dict[str, tuple[Program, tuple[Parameter, ...]]] = {}
        self._on_gpu: dict[int, _Loaded] = {}

    def __call__(
        self, grid: Dimensions, block: Dimensions, arguments: Sequence[Any], *, shared_memory: int = 0
    ) -> None:
        """Launch `grid` blocks of `block` threads.

        grid, block: an int, or up to three of them (x, y, z). arguments: torch tensors (the kernel gets their
        address, nothing is copied), NumPy scalars (np.int32(n), np.float32(s)) or None (a null pointer).
        shared_memory: dynamic bytes a block.

        On a GPU the launch goes to torch's current stream and returns at once. On the CPU it has ended when the
        call returns; what the kernel printed is then written to stdout.

        Raises `LaunchError` (a ValueError) for arguments or dimensions that don't fit, `CompileError`,
        `KernelNotFound`, and on the CPU `workbench.ptx.Fault` for what the kernel did wrong.
        """
        grid, block = _three("grid", grid), _three("block", block)
        threads = block[0] * block[1] * block[2]
        if threads > 1024:
            raise LaunchError(f"{self.name}: a block may have 1024 threads, not {threads} {block}")
        device = self._device(arguments)
        if device.type == "cuda":
            self._launch_on_gpu(device, grid, block, arguments, shared_memory)
        else:
            self._launch_on_cpu(grid, block, arguments, shared_memory)

    def _device(self, arguments: Sequence[Any]) -> torch.device:
        devices = {argument.device for argument in arguments if isinstance(argument, torch.Tensor)}
        if len(devices) > 1:
            raise LaunchError(
                f"{self.name}: the tensors are on {' and '.join(sorted(map(str, devices)))}; use one device"
            )
        if devices:
            return devices.pop()
        return torch.device("cuda", torch.cuda.current_device()) if has_gpu() else torch.device("cpu")

    def _launch_on_cpu(self, grid: Any, block: Any, arguments: Sequence[Any], shared_memory: int) -> None:
        threads = block[0] * block[1] * block[2]
        # PTX is what runs here; ptxas, which takes as long as all before it, is asked where registers may be short.
        program, wanted = self._program("compute_90" if threads <= ALWAYS_FIT else "sm_90")
        self._check(wanted, arguments)
        if threads > ALWAYS_FIT:
            self._check_registers(program, threads)
        watch = current.get()
        report = ptx.launch(
            _parsed(program.ptx),
            self.name,
            grid,
            block,
            [
                _as_array(argument) if isinstance(argument, torch.Tensor) else argument
                for argument in arguments
            ],
            shared_memory=shared_memory,
            names=[parameter.name for parameter in wanted],
            counters=watch.counters,
            trace=watch.trace,
            checks=watch.checks,
            uninitialised=[p.name for p, a in zip(wanted, arguments, strict=True) if _holds_nothing(a)],
            limits=watch.limits,
        )
        if watch.reports is not None:
            watch.reports.append(report)
        if report.printed:
            print(report.printed, end="", flush=True)

    def _launch_on_gpu(
        self, device: torch.device, grid: Any, block: Any, arguments: Sequence[Any], shared_memory: int
    ) -> None:
        import cupy

        if device.index not in self._on_gpu:
            program, wanted = self._program(_target(device))
            function = _module(program.cubin, device.index).get_function(self.name)
            self._on_gpu[device.index] = _Loaded(function, wanted)
        loaded = self._on_gpu[device.index]
        kinds = tuple([a.dtype if isinstance(a, torch.Tensor | np.generic) else type(a) for a in arguments])
        if kinds not in loaded.accepted:  # a launch is often one of thousands: what was checked is remembered
            self._check(loaded.wanted, arguments)
            loaded.accepted.add(kinds)
        if shared_memory > max(48 * 1024, loaded.shared_memory):
            loaded.function.max_dynamic_shared_size_bytes = loaded.shared_memory = shared_memory
        passed = tuple(
            [
                np.uint64(a.data_ptr()) if isinstance(a, torch.Tensor) else np.uint64(0) if a is None else a
                for a in arguments
            ]
        )
        with cupy.cuda.Device(device.index), _stream(torch.cuda.current_stream(device).cuda_stream):
            loaded.function(grid, block, passed, shared_mem=shared_memory)

    def _program(self, target: str) -> tuple[Program, tuple[Parameter, ...]]:
        if target not in self._compiled:
            program = compile_file(self.path, self.defines, target)
            kernels = _parsed(program.ptx).kernels
            if self.name not in kernels:
                raise KernelNotFound(self.path, self.name, sorted(kernels))
            self._compiled[target] = program, parameters(self.path, kernels[self.name], self.defines)
        return self._compiled[target]

    def _check_registers(self, program: Program, threads: int) -> None:
        """Raise `LaunchError` if a multiprocessor has too few registers for a block, as a GPU would."""
        registers = read_resources(program, self.name).registers
        needed = -(-registers // 8) * 256 * -(-threads // 32)  # a warp's are handed out in units of 256
        if needed > REGISTERS:
            raise LaunchError(
                f"{self.path.name}: {self.name} takes {registers} registers a thread; a block of {threads} threads "
                f"needs {needed:,}, and a multiprocessor has {REGISTERS:,}. Use fewer threads, or let the compiler "
                f"take fewer registers: __launch_bounds__({threads})."
            )

    def _check(self, wanted: tuple[Parameter, ...], arguments: Sequence[Any]) -> None:
        """Raise `LaunchError` unless every argument fits its parameter."""
        if len(wanted) != len(arguments):
            written = ", ".join(parameter.text for parameter in wanted)
            raise LaunchError(
                f"{self.path.name}: {self.name}({written}) has {len(wanted)} parameters, "
                f"but it is launched with {len(arguments)} arguments: {', '.join(map(_described, arguments))}"
            )
        for place, (parameter, argument) in enumerate(zip(wanted, arguments, strict=True), 1):
            problem = parameter.problem_with(argument)
            if problem:
                raise LaunchError(
                    f"{self.path.name}: {self.name}, parameter {place} ({parameter.name}): {problem}"
                )


@dataclass
class _Loaded:
    """A kernel on one GPU. accepted: kinds of arguments that were found to fit; shared_memory: asked for so far."""

    function: Any
    wanted: tuple[Parameter, ...]
    accepted: set[tuple[object, ...]] = field(default_factory=set)
    shared_memory: int = 0


@dataclass(frozen=True)
class _Stream:
    """torch's stream, in the protocol by which CuPy takes streams of others."""

    handle: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle  # the protocol's version, cudaStream_t


@lru_cache(maxsize=64)
def _stream(handle: int) -> Any:
    import cupy

    return cupy.cuda.Stream.from_external(_Stream(handle))


def _three(what: str, dimensions: Dimensions) -> tuple[int, int, int]:
    sizes = (dimensions,) if isinstance(dimensions, int | np.integer) else tuple(dimensions)
    if not 1 <= len(sizes) <= 3 or any(size < 1 for size in sizes):
        raise LaunchError(
            f"{what} {dimensions}: give one to three sizes of 1 or more (where there is nothing to do, don't launch)"
        )
    x, y, z = (*(int(size) for size in sizes), 1, 1)[:3]
    return x, y, z


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's memory, from its first element to its last, as a 1-D array that shares it."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    flat = torch.as_strided(tensor.detach(), (span if tensor.numel() else 0,), (1,))
    return (flat.view(torch.int16) if flat.dtype == torch.bfloat16 else flat).numpy()


def _holds_nothing(argument: object) -> bool:
    """True for a tensor as torch.empty leaves it where torch fills new memory (torch.set_deterministic_debug_mode)."""
    if (
        not isinstance(argument, torch.Tensor)
        or argument.numel() == 0
        or not torch.get_deterministic_debug_mode()
    ):
        return False
    first = argument[(0,) * argument.dim()]
    if argument.is_floating_point():
        return bool(first.isnan()) and bool(argument.isnan().all())
    filled = torch.iinfo(argument.dtype).max if argument.dtype != torch.bool else 1
    return bool(first == filled) and bool((argument == filled).all())


def _described(argument: object) -> str:
    if isinstance(argument, torch.Tensor):
        return f"{str(argument.dtype).removeprefix('torch.')} tensor"
    return str(argument.dtype) if isinstance(argument, np.generic) else repr(argument)


def _target(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


@lru_cache(maxsize=256)
def _parsed(text: str) -> ptx.Module:
    return ptx.parse(text)


@lru_cache(maxsize=256)
def _module(cubin: bytes, device: int) -> Any:
    import cupy

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        module = cupy.RawModule(path=file.name)
        module.compile()  # reads the file now, while it exists
    return module
