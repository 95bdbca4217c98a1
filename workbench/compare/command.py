"""`python -m workbench compare`: attention implementations side by side.

python -m workbench compare "flash_v2*" pytorch --seqlen 1k 4k --headdim 64 128 --causal
python -m workbench compare --preset llama3-8b --json before.json
python -m workbench compare mine.py:attention pytorch --baseline before.json --fail-on-regression
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from workbench import lessons
from workbench.compare import judge, results, show
from workbench.compare.candidates import NoSuchCandidate, choose
from workbench.compare.measure import RIVAL
from workbench.compare.results import Change, Results, Row
from workbench.compare.run import Settings, compare
from workbench.compare.shapes import PRESETS, SMALL, BadShape, Shape, dtype_named, grid
from workbench.gpu import has_gpu
from workbench.report import machine

DEVICE = "cuda"  # where times are taken
FILES = ("json", "csv", "markdown")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"compare: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """Run the command. Returns its exit status: 2 wrong usage, 1 something was wrong, 130 stopped, else 0."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as asked:  # --help, or an error that argparse has explained
        return int(asked.code or 0)
    try:
        return _compare(options)
    except (BadShape, NoSuchCandidate, results.BadFile) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m workbench compare",
        description="Attention implementations side by side: right or wrong first, then time and memory.",
        epilog="Several values make a grid; 4k is 4096. On a GPU `pytorch`, what PyTorch picks by itself, always runs.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help='such as "flash_v2*", pytorch/cudnn, or your own file.py:function; default: all',
    )
    parser.add_argument("--list", action="store_true", help="the names that exist")
    shape = parser.add_argument_group("shapes")
    shape.add_argument(
        "--preset", default="", metavar="NAME", help=f"{', '.join(PRESETS)}; the options below change it"
    )
    for axis, what in (
        ("batch", ""),
        ("seqlen", ""),
        ("nheads", "heads of q"),
        ("nheads-kv", "heads of k and v"),
        ("headdim", ""),
    ):
        shape.add_argument(f"--{axis}", nargs="+", type=_whole, metavar="N", help=what)
    shape.add_argument("--dtype", nargs="+", metavar="T", help="float32, float16, bfloat16")
    shape.add_argument("--causal", nargs="?", const="yes", choices=("yes", "no", "both"), help="alone: yes")
    shape.add_argument("--backward", action="store_true", help="forward and backward pass together")
    how = parser.add_argument_group("measuring")
    how.add_argument(
        "--repeats", type=_whole, metavar="N", help="timed calls of each; default: what --seconds allow"
    )
    how.add_argument(
        "--seconds", type=_positive, default=0.2, help="for the timed calls of each (%(default)s)"
    )
    how.add_argument(
        "--longest",
        type=_positive,
        default=2.0,
        metavar="SECONDS",
        help="a call expected to take more isn't made (%(default)s)",
    )
    how.add_argument("--seed", type=int, default=0, help="of the inputs (%(default)s)")
    kept = parser.add_argument_group("results")
    for kind in FILES:
        kept.add_argument(
            f"--{kind}",
            type=Path,
            metavar="FILE",
            help="- for the terminal, alone" if kind == "json" else None,
        )
    kept.add_argument(
        "--baseline", type=Path, metavar="FILE", help="an older --json: what got faster or slower?"
    )
    kept.add_argument(
        "--fail-on-regression", action="store_true", help="exit status 1 if something did get slower or broke"
    )
    return parser


def _whole(text: str) -> int:
    number, factor = (text[:-1], 1024) if text[-1:] in ("k", "K") else (text, 1)
    if not (number.isdecimal() and int(number) > 0):
        hint = " (names of implementations stand before the options)" if text[:1].isalpha() else ""
        raise argparse.ArgumentTypeError(f"{text!r} isn't a whole number above 0{hint}")
    return int(number) * factor


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number above 0")
    return number


def _compare(options: argparse.Namespace) -> int:
    known = lessons.contenders()
    if options.list:
        print("\n".join(f"{one.name:28} {one.missing}".rstrip() for one in known.values()))
        return 0
    if options.fail_on_regression and not options.baseline:
        raise BadShape("--fail-on-regression needs --baseline FILE.")
    on_gpu = has_gpu()
    shapes = _shapes(options, on_gpu)
    candidates = choose(options.names, known)
    if on_gpu and RIVAL not in {one.name for one in candidates}:
        candidates.append(known[RIVAL])
    before = results.load(options.baseline) if options.baseline else None
    files = {kind: path for kind in FILES if (path := getattr(options, kind)) is not None}
    alone = Path("-") in files.values()
    for path in files.values():
        if path != Path("-"):
            results.writable(path)

    console = Console(quiet=alone, highlight=False)
    now = Results(machine.describe(), options.seed, [])
    if before is not None and before.machine.get("gpu") != now.machine["gpu"]:
        results.changes(now, before)  # which says so
    if not on_gpu:
        console.print(show.header(now), style="dim")
        asked = _shapes(options, on_gpu=True)
        if asked != shapes:
            which = "The shape asked for is" if len(asked) == 1 else f"The {len(asked)} shapes asked for are"
            cut = f"{which} cut to batch 1, few heads and at most {SMALL} long"
            left_out = ", and the backward pass is left out" if options.backward else ""
            console.print(f"{cut}{left_out}.", style="dim")
    _run(now, shapes, candidates, options, on_gpu, console, before)
    now.machine["clocks_after"] = machine.clocks()
    changed = _changes(now, before)
    _conclude(console, now, on_gpu, changed, before)
    texts = {"json": now.as_json, "csv": now.as_csv, "markdown": lambda: show.markdown(now, changed)}
    for kind, path in files.items():
        if path == Path("-"):
            print(texts[kind](), end="")
        else:
            results.write(path, texts[kind]())
            console.print(f"Wrote {path}{' (partial)' if now.partial else ''}.", soft_wrap=True)
    if now.partial:
        return 130 if "Ctrl-C" in now.partial else 1
    bad = any(row.status in (judge.WRONG, judge.FAILED) for row in now.rows)
    return int(bad or (options.fail_on_regression and any(change.regression for change in changed)))


def _shapes(options: argparse.Namespace, on_gpu: bool) -> list[Shape]:
    given: dict[str, Any] = {
        axis: value
        for axis in ("batch", "seqlen", "nheads", "nheads_kv", "headdim")
        if (value := getattr(options, axis)) is not None
    }
    if options.dtype:
        given["dtype"] = [dtype_named(text) for text in options.dtype]
    if options.causal:
        given["causal"] = {"yes": (True,), "no": (False,), "both": (False, True)}[options.causal]
    shapes = grid(options.preset, given, backward=options.backward)
    return shapes if on_gpu else list(dict.fromkeys(shape.small() for shape in shapes))


def _run(
    now: Results,
    shapes: Sequence[Shape],
    candidates: Sequence[Any],
    options: argparse.Namespace,
    on_gpu: bool,
    console: Console,
    before: Results | None,
) -> None:
    """The comparison, with a bar while it runs and each shape's table as soon as it is there."""

    def finished(shape: Shape, rows: list[Row]) -> None:
        here = Results(now.machine, now.seed, rows)
        changed = {change.row.name: change for change in _changes(here, before, quiet=True)}
        console.print()
        console.print(Text(shape.name, style="bold"))
        console.print(show.table(rows, on_gpu, changed, plain=not console.is_terminal))
        for note in show.notes(rows):
            console.print(note, soft_wrap=not console.is_terminal)

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    total = 2 * len(shapes) * len(candidates)
    with bar if console.is_terminal else nullcontext():
        task = bar.add_task("", total=total)
        where = ""

        def progress(text: str, done: float) -> None:
            nonlocal where
            where = text or where
            bar.update(task, advance=done, description=where[:28].ljust(28))

        compare(
            now,
            shapes,
            candidates,
            Settings(
                DEVICE if on_gpu else "cpu",
                on_gpu,
                options.seconds,
                options.longest,
                options.repeats,
                progress,
                finished,
            ),
        )


def _changes(now: Results, before: Results | None, quiet: bool = False) -> list[Change]:
    if before is None:
        return []
    try:
        return results.changes(now, before)
    except results.BadFile:
        if quiet or now.partial:
            return []
        raise


def _conclude(
    console: Console, now: Results, on_gpu: bool, changed: Sequence[Change], before: Results | None
) -> None:
    console.print()
    if on_gpu:
        console.print(show.header(now), style="dim", soft_wrap=not console.is_terminal)
    if before is not None:
        show.summary(console, changed)
    if now.partial:
        left = results.stopped(now.rows)
        console.print(
            Text(f"Partial: {now.partial}; {left} of {len(now.rows)} rows are missing.", style="bold yellow")
        )
