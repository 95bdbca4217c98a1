"""The checker's table: one row an implementation, and under it, in words, what went wrong and what to do next."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import indent
from types import MappingProxyType

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workbench import lessons
from workbench.check.outcome import Outcome, Verdict
from workbench.gpu import too_old

COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.NOT_STARTED: "yellow",
    Verdict.SKIPPED: "dim",
    Verdict.CHECKING: "cyan",
}

REACHED = "GB/s or\nTFLOP/s"
CPU_COLUMNS = ("cases\nright", "sectors/\nrequest", "MB\nmoved", "MB\nneeded", "regs\n80/90")
GPU_COLUMNS = ("cases\nright", "ms", REACHED, "% of\nceiling", "x Py-\nTorch", "regs\n80/90")


def show(
    console: Console,
    number: int,
    title: str,
    outcomes: list[Outcome],
    gpu: str | None,
    folder: Path,
    differences: Mapping[str, str] = MappingProxyType({}),
    *,
    watching: bool = False,
) -> None:
    """Print the whole answer to `make check-lessonN`.

    folder: the lesson's, as the reader would write it. differences: by row, what a shipped version does differently.
    watching: for `make watch-lessonN`, which has keys for what comes next, and little room.
    """
    console.print(Text(f"\nLesson {number}  {title}", style="bold"))
    if not watching:
        console.print(header(outcomes, gpu), style="dim")
        console.print()
    _print_table(console, outcomes, on_gpu=gpu is not None)
    for outcome in outcomes:
        if outcome.verdict in (Verdict.FAIL, Verdict.SKIPPED):
            console.print()
            console.print(_headline(outcome))
            _indented(console, _explanation(outcome))
        elif outcome.what_happened:
            console.print(Text(f"\n{outcome.name}: {outcome.what_happened}"))
        if outcome.printed.strip() and (outcome.learners or outcome.verdict is Verdict.FAIL):
            console.print(Text(f"\n{outcome.name} printed:"))
            _indented(console, Text(outcome.printed.rstrip()))
    show_differences(console, differences)
    console.print()
    if watching and any(outcome.verdict is Verdict.FAIL for outcome in outcomes):
        console.print("Mend it and save it; h gives a hint.")
    else:
        console.print(next_step(number, outcomes, folder, bool(differences)))


def show_differences(console: Console, differences: Mapping[str, str]) -> None:
    """Print diffs, each below its first line."""
    for text in differences.values():
        title, *lines = text.splitlines()
        console.print(Text(f"\n{title}", style="bold"))
        for line in lines:
            style = {"+": "green", "-": "red"}.get(line[:1], "")
            console.print(Text(f"  {line}", style=style), soft_wrap=not console.is_terminal)


def _indented(console: Console, text: Text) -> None:
    """Wrapped and indented in a terminal; in a pipe or file each line stays whole."""
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, 2)))
    else:
        console.print(Text(indent(text.plain, "  ")), soft_wrap=True)


def header(outcomes: list[Outcome], gpu: str | None) -> str:
    if gpu is None:
        return (
            f"{too_old() or 'No NVIDIA GPU here:'} CUDA runs in the PTX machine, Triton in its interpreter.\n"
            "Times need a GPU; the table shows the memory traffic instead, counted."
        )
    copy = next((o.timing["copy_gb_per_s"] for o in outcomes if o.timing), None)
    product = next((o.timing["product_tflop_per_s"] for o in outcomes if "tflop_per_s" in o.timing), None)
    from_host = next(
        (o.timing["host_copy_gb_per_s"] for o in outcomes if "host_copy_gb_per_s" in o.timing), None
    )
    ceilings = [f"a copy moves {copy:,.0f} GB/s"] if copy else []
    ceilings += [f"copies to and from the host {from_host:,.0f} GB/s together"] if from_host else []
    ceilings += [f"PyTorch's matrix product reaches {product:,.1f} TFLOP/s"] if product else []
    ceiling = f"; {' and '.join(ceilings)} on it, measured now" if ceilings else ""
    every = "Every row that can" if any(o.needs_gpu for o in outcomes) else "Every row"
    return f"{gpu}{ceiling}. {every} was also run in the PTX machine or Triton's interpreter."


def _print_table(console: Console, outcomes: list[Outcome], on_gpu: bool) -> None:
    """As many columns as the terminal has room for, those on the right left out; in a pipe or file all of them."""
    names = GPU_COLUMNS if on_gpu else CPU_COLUMNS
    count, room = len(names), console.width
    table = _table(outcomes, names, on_gpu, plain=not console.is_terminal)
    if not console.is_terminal:
        console.width = max(room, _width(console, table))
    if console.width < _width(console, table):
        table = _table(outcomes, names, on_gpu, plain=False, gap=0)
    while console.width < _width(console, table) and count > 1:
        count -= 1
        table = _table(outcomes, names[:count], on_gpu, plain=False, gap=0)
    console.print(table)
    console.width = room
    if count < len(names):
        left_out = ", ".join(unbroken(name) for name in names[count:])
        console.print(f"No room here for: {left_out}.", style="dim")


def _width(console: Console, table: Table) -> int:
    return Measurement.get(console, console.options.update(max_width=1000), table).maximum


def unbroken(heading: str) -> str:
    return heading.replace("-\n", "").replace("/\n", "/").replace("\n", " ")


def _table(outcomes: list[Outcome], columns: Sequence[str], on_gpu: bool, plain: bool, gap: int = 1) -> Table:
    tasks = list(dict.fromkeys(outcome.task for outcome in outcomes))
    table = Table(
        box=None if plain else box.SIMPLE_HEAD,  # which parts columns by a space itself
        pad_edge=False,
        padding=(0, gap, 0, 0),
        show_edge=False,
    )
    table.add_column("", overflow="fold", vertical="bottom")
    table.add_column("verdict", no_wrap=True, vertical="bottom")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    for task in tasks:
        if len(tasks) > 1:
            table.add_row(Text(task, style="bold"))
        file = ""
        for outcome in outcomes:
            if outcome.task == task:
                own, _, blank = outcome.name.rpartition(" ") if outcome.learners else ("", "", outcome.name)
                if own != file:
                    table.add_row(Text(f"your {own}", style="dim"))
                    file = own
                shown = Text(f"  {blank}" if own else blank)
                verdict = Text(outcome.verdict.value, style=COLOURS[outcome.verdict])
                table.add_row(shown, verdict, *figures(outcome, on_gpu)[: len(columns)])
    return table


def figures(outcome: Outcome, on_gpu: bool) -> list[str]:
    if outcome.verdict in (Verdict.NOT_STARTED, Verdict.SKIPPED):
        return []
    cases = f"{outcome.cases_right}/{outcome.cases}"
    registers = "/".join(
        str(outcome.compiled[t]["registers"]) for t in ("sm_80", "sm_90") if t in outcome.compiled
    )
    if on_gpu:
        time = outcome.timing
        arithmetic = "tflop_per_s" in time
        shown = (
            [
                f"{time['median']:.3f}",
                f"{time['tflop_per_s']:,.1f} TF" if arithmetic else f"{time['gb_per_s']:,.0f} GB",
                f"{time['percent_of_product' if arithmetic else 'percent_of_copy']:.1f}",
                f"{time['times_pytorch']:.2f}",
            ]
            if time
            else ["-"] * 4
        )
        return [cases, *shown, registers or "-"]
    traffic = outcome.traffic
    sectors = f"{traffic['sectors_per_request']:.1f}" if "sectors_per_request" in traffic else "-"
    moved = f"{traffic['bytes_moved'] / 1e6:.2f}" if traffic else "-"
    needed = f"{traffic['bytes_needed'] / 1e6:.2f}" if traffic else "-"
    return [cases, sectors, moved, needed, registers or "-"]


def _headline(outcome: Outcome) -> Text:
    words = Text(f"{outcome.verdict.value}  ", style=COLOURS[outcome.verdict])
    words.append(outcome.name, style="bold")
    if outcome.case:
        words.append(f"   case: {outcome.case}", style="not bold default")
    if outcome.where == "on the GPU":
        words.append(f"   {outcome.where}", style="not bold default")
    return words


def _explanation(outcome: Outcome) -> Text:
    words = Text(outcome.what_happened.strip("\n"))
    if outcome.mistake:
        words.append("\nLikely mistake: ", style="bold")
        words.append(f"{outcome.mistake}. {outcome.mistake_sentence}")
        words.append(f"\nRead: {outcome.read}", style="dim")
    return words


def next_step(number: int, outcomes: list[Outcome], folder: Path, compared: bool) -> Text:
    mine = [outcome for outcome in outcomes if outcome.learners]
    if any(o.verdict is Verdict.FAIL for o in outcomes if not o.learners):
        text = "A shipped version failed: `make doctor` says what this machine lacks."
    elif any(o.verdict is Verdict.FAIL for o in mine):
        text = f"Mend it, then `make check-lesson{number}` again. `make hint-lesson{number}` gives a hint."
    elif any(o.verdict is Verdict.NOT_STARTED for o in mine):
        files = " and ".join(
            dict.fromkeys(str(folder / o.name.split()[0]) for o in mine if o.verdict is Verdict.NOT_STARTED)
        )
        text = f"Next: read {folder / 'notebook.ipynb'} (`make lab`), then fill in {files}."
    elif mine and all(o.verdict is Verdict.PASS for o in mine):
        again = (
            ""
            if compared
            else f" `make check-lesson{number} ARGS=--diff` compares yours with what is shipped."
        )
        onward = f" Go on to lesson {number + 1}." if number + 1 in lessons.folders() else ""
        text = f"Lesson {number} passes.{again}{onward}"
    else:
        text = "Nothing of yours was checked."
    return Text(text)
