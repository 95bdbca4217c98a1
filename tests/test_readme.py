"""The README's code does what it says."""

import re

import pytest

from workbench import lessons
from workbench.cuda.compiler import compile_file

BLOCKS = re.findall(r"```python\n(.*?)```", (lessons.ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.strip().splitlines()[1][:40])
def test_each_python_block_runs_and_prints_what_its_comment_says(code, tmp_path, monkeypatch, capsys):
    kernel = lessons.ROOT / "cuda_basics" / "vector_add" / "plain.cu"
    (tmp_path / "vector_add.ptx").write_text(compile_file(kernel, {"SCALAR": "float"}).ptx)
    monkeypatch.chdir(tmp_path)
    exec(code.replace("cuda_basics/", f"{lessons.ROOT}/cuda_basics/"), {})
    said = re.search(r"print\(.*\) +# (.*)", code)[1]
    assert capsys.readouterr().out.strip() == said
