"""A kernel's parameters: their names from the source, their sizes and kinds from the PTX."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench import ptx

POINTEES = {
    "float": torch.float32,
    "double": torch.float64,
    "__half": torch.float16,
    "half": torch.float16,
    "__nv_bfloat16": torch.bfloat16,
    "nv_bfloat16": torch.bfloat16,
    "int": torch.int32,
    "unsigned": torch.int32,
    "unsigned int": torch.int32,
    "long long": torch.int64,
}


@dataclass(frozen=True)
class Parameter:
    """One parameter: `name` and `text` ("const float *a") as written, `type` as the PTX has it ("u64", "f32")."""

    name: str
    text: str
    type: str
    size: int
    pointee: torch.dtype | None  # None: not a pointer, or to something that isn't in POINTEES

    def problem_with(self, argument: object) -> str:
        """What is wrong with this argument for this parameter; empty if nothing is."""
        if isinstance(argument, torch.Tensor):
            if self.type not in ("u64", "b64", "s64"):
                return f"a tensor is passed, but the parameter is no pointer ({self.text})"
            if self.pointee is not None and self.pointee != argument.dtype:
                return f"a tensor of {_name(argument.dtype)} is passed, but the parameter is {self.text}"
            return ""
        if argument is None:
            return "" if self.size == 8 else f"None is passed, but the parameter is no pointer ({self.text})"
        if not isinstance(argument, np.generic):
            return f"pass a tensor or a NumPy scalar such as np.int32(3), not {type(argument).__name__}"
        floating = self.type.startswith("f")
        if argument.dtype.itemsize != self.size or (
            (argument.dtype.kind == "f") != floating and self.type[0] != "b"
        ):
            return f"a NumPy {argument.dtype} is passed, but the parameter is {self.text}"
        return ""


def parameters(path: Path, kernel: ptx.Kernel, defines: Mapping[str, object]) -> tuple[Parameter, ...]:
    """The kernel's parameters in order. Where the source can't be read (macros), the PTX's names stand in."""
    written = _declared(path.read_text(errors="replace"), kernel.name)
    if len(written) != len(kernel.parameters):
        written = [f"{p.type} argument {i}" for i, p in enumerate(kernel.parameters, 1)]
    found = []
    for text, parameter in zip(written, kernel.parameters, strict=True):
        name = re.split(r"[\s*&]+", re.sub(r"\[\d*\]$", "", text))[-1]
        pointed = re.sub(r"\b(const|volatile|__restrict__)\b|\*.*", "", text).strip()
        pointee = POINTEES.get(str(defines.get(pointed, pointed))) if "*" in text else None
        found.append(Parameter(name, text, parameter.type, parameter.size, pointee))
    return tuple(found)


def _declared(source: str, kernel: str) -> list[str]:
    source = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.DOTALL)
    match = re.search(rf"__global__[^;{{]*?\b{re.escape(kernel)}\s*\(([^)]*)\)", source)
    return [" ".join(text.split()) for text in match[1].split(",") if text.strip()] if match else []


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
