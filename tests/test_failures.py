"""Compilers' words, as a learner gets them: with the file and its line, without paths of the machine."""

import ast
import re
from pathlib import Path

import pytest

from workbench import lessons
from workbench.check.exercise import function_from
from workbench.check.failures import in_words
from workbench.cuda import CompileError, resources


def rejected(folder: Path, source: str) -> CompileError:
    path = folder / "exercise.cu"
    path.write_text(source)
    with pytest.raises(CompileError) as caught:
        resources(path, "k", {}, "sm_80")
    return caught.value


def test_a_cuda_error_names_files_without_their_paths_and_leaves_the_toolkits_notes_out(tmp_path):
    error = rejected(
        tmp_path,
        "#include <cuda_fp16.h>\n"
        'extern "C" __global__ void k(__half *a) {\n'
        "  int unused;\n"
        '  a[0] = a[1] + "x";\n'
        "}\n",
    )
    said = str(error)
    assert "note" in error.log and "note" not in said
    assert "exercise.cu(4): error: " in said and "exercise.cu(3): warning" in said
    assert str(tmp_path) not in said and "include/" not in said and str(lessons.ROOT) not in said


def test_too_much_shared_memory_is_said_in_bytes_without_ptxas_figures(tmp_path):
    small = "".join(f'extern "C" __global__ void k{i}(int *a) {{ a[0] = {i}; }}\n' for i in range(4))
    large = (
        'extern "C" __global__ void large(int *a) {\n  int unused;\n'
        "  __shared__ int all[15000];\n  all[a[0]] = 1;\n  __syncthreads();\n  a[1] = all[a[2]];\n}\n"
    )
    said = str(rejected(tmp_path, small + large))
    assert said.startswith(
        "exercise.cu doesn't compile\nerror: large declares 60,000 bytes of __shared__ memory, and 49,152 is the most."
    )
    assert "ptxas" not in said


def test_errors_come_before_warnings(tmp_path):
    unused = "".join(f"  int unused_{i};\n" for i in range(8))
    other = 'extern "C" __global__ void other(int *a) { a[0] = b; }\n'
    error = rejected(tmp_path, f'extern "C" __global__ void k(int *a) {{\n{unused}}}\n{other}')
    assert error.line == 11
    lines = str(error).splitlines()
    assert lines[1] == 'exercise.cu(11): error: identifier "b" is undefined'
    assert "warning" in lines[4] and re.fullmatch(r"\(and \d+ more lines\)", lines[-1])


def test_code_for_the_cpu_gets_advice_that_a_learner_can_follow(tmp_path):
    host = "float twice(float x) { return 2 * x; }\n"
    said = str(rejected(tmp_path, host + 'extern "C" __global__ void k(float *a) {}\n'))
    assert "exercise.cu(1): error: " in said and "write __device__ before it" in said
    assert "-default-device" not in said


KERNEL = '''def add_kernel(x, BLOCK):
    """y = x"""
    i = arange(0, 1000)
'''

FILE = f"""# An exercise

{KERNEL}

class CompilationError(Exception):
    pass


def add(node):
    error = CompilationError("at 3:8: ...")
    error.src, error.node, error.error_message = {KERNEL!r}, node, "a power of 2 is needed"
    raise error
"""


def test_a_triton_error_names_the_file_and_its_line(tmp_path: Path):
    path = tmp_path / "exercise.py"
    path.write_text(FILE)
    node = ast.parse(KERNEL).body[0].body[1]
    with pytest.raises(Exception, match="at 3:8") as caught:
        function_from(path, "add")(node)
    assert in_words(caught.value) == "exercise.py:5:\n    5 |   i = arange(0, 1000)\na power of 2 is needed"
