"""What benchmarks/sanitize.py reads out of compute-sanitizer's logs."""

from benchmarks import sanitize

LINES = sanitize.GLUON.read_text().splitlines()
KERNEL = next(n for n, line in enumerate(LINES, 1) if line.startswith("def flash_v2_gluon_kernel"))
CALL = next(n for n, line in enumerate(LINES, 1) if "gl.warp_specialize(" in line)
STORE = next(n for n, line in enumerate(LINES, 1) if "out.index(consumer).store" in line)


def report(*lines: int, file: str = sanitize.GLUON.name) -> str:
    first, *others = (f"access at flash_v2_gluon_kernel+0x100 in {file}:{line}" for line in lines)
    return "\n".join(
        [
            f"========= Error: Race reported between Read {first}",
            *(f"=========     and Write {other} [7 hazards]" for other in others),
            "========= ",
            "ran lesson 12, gluon: 65 x 130, head_dim 64, float16\n",
        ]
    )


def test_only_hazards_at_tritons_hand_over_are_tritons() -> None:
    tritons = report(KERNEL, KERNEL, CALL) + report(KERNEL, CALL)
    assert sanitize.of_triton(tritons) == 2
    assert sanitize.of_triton(tritons + report(KERNEL, STORE)) == 2
    assert sanitize.of_triton(report(STORE, STORE)) == 0
    assert sanitize.of_triton(report(KERNEL, CALL, file="triton_version.py")) == 0
    assert (
        sanitize.of_triton("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n") == 0
    )
