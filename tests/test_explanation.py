"""What the shipped version does differently; and that an exercise differs from its solution only where its blank is."""

import pytest

from workbench import lessons
from workbench.check.explanation import code_lines, difference, explanation, function_around, functions

FILES = {
    (number, exercise.file): exercise
    for number in lessons.folders()
    for _, exercise in lessons.load(number).exercises
}

# Lines of code around the blanks that the solution has in another form, and why.
OF_ITS_OWN = {
    (4, "exercise.cu"): (5, "the sum is given apart from the maximum, which is the second blank"),
    (4, "exercise.py"): (4, "blocks of one size"),
    (6, "exercise.py"): (8, "tiles of one size; an order to begin with"),
    (7, "exercise_numpy.py"): (4, "names for what the blanks compute"),
    (7, "exercise.py"): (1, "one of three kernels"),
    (7, "exercise.cu"): (1, "a function of the learner's own is called"),
    (8, "exercise_numpy.py"): (2, "names for what the blank computes"),
    (9, "exercise_numpy.py"): (1, "which keys are seen needs no name: P @ Vj will do"),
    (11, "exercise_2.cu"): (10, "the places of chunks come from one function, which is the blank"),
    (11, "exercise_3.cu"): (2, "unrolled less"),
    (12, "exercise_1.cu"): (1, "registers to be filled"),
    (12, "exercise_3.cu"): (9, "the loads and the products are given as two functions"),
}


@pytest.mark.parametrize(("number", "file"), FILES, ids=lambda value: str(value))
def test_an_exercise_differs_from_its_solution_only_where_its_blanks_are(number, file):
    path = lessons.folder(number) / file
    exercises = [e for _, e in lessons.load(number).exercises if e.file == file]
    sources = dict.fromkeys(source for exercise in exercises for source in exercise.solution)
    solution = {line.strip() for one in sources for line in code_lines(one.read_text(), path.suffix)}
    around = [line.strip() for line in code_lines(path.read_text(), path.suffix)]
    other = [
        line
        for line in around
        if line not in solution and line != "pass" and not line.startswith("def ")  # types are left out
    ]
    allowed, _ = OF_ITS_OWN.get((number, file), (0, ""))
    assert len(other) <= allowed, "not in the solution:\n" + "\n".join(other)


@pytest.mark.parametrize(("number", "file"), FILES, ids=lambda value: str(value))
def test_the_solution_in_its_place_says_the_same(number, file, tmp_path):
    for _, exercise in lessons.load(number).exercises:
        if exercise.file != file:
            continue
        path = lessons.folder(number) / file
        try:
            name, _ = function_around(path.read_text(), path.suffix, exercise.blank)
        except ValueError:
            continue  # a blank outside of functions
        theirs = [functions(one.read_text(), path.suffix).get(name) for one in exercise.solution]
        if any(theirs):
            assert difference(path, exercise), "the blank is empty, so something must be different"


def test_the_difference_leaves_comments_out(tmp_path):
    exercise = FILES[1, "exercise.cu"]
    path = tmp_path / "exercise.cu"
    path.write_text(
        'extern "C" __global__ void coordinates(int *table, int rows, int columns) {\n'
        "  // >>> coordinates: here\n"
        "  // my remark\n"
        "  const int column = blockIdx.x * blockDim.x + threadIdx.x;  // x\n"
        "  /* a long\n     remark */\n"
        '  printf("// not a comment\\n");\n'
        "  // <<< coordinates\n"
        "}\n"
    )
    lines = difference(path, exercise).splitlines()
    assert lines[:2] == ["--- yours", "+++ coordinates.cu"]
    assert '-  printf("// not a comment\\n");' in lines
    assert "   const int column = blockIdx.x * blockDim.x + threadIdx.x;" in lines
    assert not any("remark" in line for line in lines)


def test_the_same_code_makes_no_difference(tmp_path):
    exercise = FILES[2, "exercise.py"]
    path = tmp_path / "exercise.py"
    text = exercise.solution[0].read_text()
    body = functions(text, ".py")["vector_add_kernel"]
    head = "def vector_add_kernel():\n    # >>> vector_add: here\n"
    path.write_text(head + "\n".join(body) + "\n    # <<< vector_add\n")
    assert difference(path, exercise) == ""


def test_where_nothing_can_be_compared_the_shipped_file_is_named():
    exercise = FILES[11, "exercise_2.cu"]
    text = explanation(lessons.folder(11) / exercise.file, exercise)
    assert text == "exercise_2.cu swizzle: compare yours with cuda_basics/tensor_cores/swizzled.cu."
