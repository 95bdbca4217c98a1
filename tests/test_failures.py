"""Compilers' words, as a learner gets them: with the file and its line, without paths of the machine."""

import ast
from pathlib import Path

import pytest

from workbench import lessons
from workbench.check.exercise import function_from
from workbench.check.failures import in_words
from workbench.cuda import CompileError, resources


def test_a_cuda_error_names_files_without_their_paths_and_leaves_the_toolkits_notes_out(tmp_path):
    path = tmp_path / "exercise.cu"
    path.write_text(
        "#include <cuda_fp16.h>\n"
        'extern "C" __global__ void k(__half *a) {\n'
        "  int unused;\n"
        '  a[0] = a[1] + "x";\n'
        "}\n"
    )
    with pytest.raises(CompileError) as caught:
        resources(path, "k", {}, "sm_80")
    said = str(caught.value)
    assert "note" in caught.value.log and "note" not in said
    assert "exercise.cu(4): error: " in said and "exercise.cu(3): warning" in said
    assert str(tmp_path) not in said and "include/" not in said and str(lessons.ROOT) not in said


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
