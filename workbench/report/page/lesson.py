"""The page of a lesson: what the checker said in words, and the data of the figures that report.js draws."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from workbench import lessons
from workbench.check.outcome import Outcome, Verdict
from workbench.check.processes import Answer
from workbench.report import table
from workbench.report.page import page


@dataclass(frozen=True)
class Shown:
    """What a lesson's page is made from.

    machine: as `workbench.report.machine.describe` says. found: by row, what `workbench.report.page.evidence` found.
    kept: the shipped versions' times, as `make bench` wrote them. history: the learner's times, by exercise.
    """

    number: int
    answer: Answer
    machine: Mapping[str, Any]
    found: Mapping[str, Mapping[str, Any]]
    kept: Mapping[str, Any] | None = None
    history: Mapping[str, Sequence[Mapping[str, Any]]] | None = None


def lesson_page(shown: Shown) -> str:
    """The page as text."""
    outcomes = shown.answer.outcomes
    title = f"Lesson {shown.number}: {shown.answer.title}"
    told = [o for o in outcomes if o.verdict in (Verdict.FAIL, Verdict.SKIPPED) or o.what_happened]
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_header(shown))}</p>',
        _table(outcomes, on_gpu=bool(shown.machine["gpu"])),
        f"<p>{_with_code(_next(shown))}</p>",
        *(_what_happened(outcome, shown.found.get(outcome.row, {})) for outcome in told),
        *(f'<section id="{name}"></section>' for name in ("maps", "accesses", "speed", "history")),
    ]
    return page(title, "\n".join(body), _data(shown), "report.js")


def _data(shown: Shown) -> dict[str, Any]:
    rows = [
        {
            "row": outcome.row,
            "name": f"yours: {outcome.name}" if outcome.learners else outcome.name,
            "yours": outcome.learners,
            "case": outcome.case,
            **{key: shown.found.get(outcome.row, {}).get(key) for key in ("maps", "pictures", "pictured")},
        }
        for outcome in shown.answer.outcomes
    ]
    started = [outcome for outcome in shown.answer.outcomes if outcome.learners]
    return {
        "number": shown.number,
        "rows": rows,
        "started": any(outcome.verdict is not Verdict.NOT_STARTED for outcome in started),
        "cuda": any(outcome.language == "cuda" for outcome in shown.answer.outcomes),
        "speed": _speed(shown),
        "history": shown.history or {},
    }


def _speed(shown: Shown) -> dict[str, Any] | None:
    """The times of this check; without a GPU those of the shipped versions in benchmarks/, with the learner's last.

    A learner's time from another GPU doesn't stand beside those.
    """
    timed = [outcome.as_dict() for outcome in shown.answer.outcomes if outcome.timing]
    where: Mapping[str, Any] = shown.machine
    if not timed:
        if shown.kept is None:
            return None
        where, timed = shown.kept["machine"], [row for row in shown.kept["rows"] if row["timing"]]
    if not timed:
        return None
    points = [
        {"task": row["task"], "name": row["name"], "yours": row["learners"], **row["timing"]} for row in timed
    ]
    if not any(point["yours"] for point in points):
        points += _learners(shown, points, str(where["gpu"]))
    return {"gpu": where["gpu"], "date": str(where["date"])[:10], "points": points}


def _learners(shown: Shown, points: Sequence[Mapping[str, Any]], gpu: str) -> list[dict[str, Any]]:
    """The learner's last times on that GPU, at the rates that a shipped version of the task would have with them."""
    found = []
    for outcome in shown.answer.outcomes:
        times = [
            time
            for time in (shown.history or {}).get(outcome.name, ())
            if time["gpu"] == gpu and outcome.learners
        ]
        model = next((point for point in points if point["task"] == outcome.task), None)
        if times and model:
            ms = times[-1]["ms"]
            rates = {
                name: model[name] * model["median"] / ms
                for name in ("gb_per_s", "tflop_per_s")
                if name in model
            }
            ceilings = {
                name: model[name] for name in ("copy_gb_per_s", "product_tflop_per_s") if name in model
            }
            found.append(
                {"task": outcome.task, "name": outcome.name, "yours": True, "median": ms, **rates, **ceilings}
            )
    return found


# The checker's words


def _header(shown: Shown) -> str:
    gpu = shown.machine["gpu"]
    return f"{table.header(shown.answer.outcomes, str(gpu) if gpu else None)} {shown.machine['date']}."


def _next(shown: Shown) -> str:
    folder = lessons.folder(shown.number).relative_to(lessons.ROOT)
    return str(table.next_step(shown.number, shown.answer.outcomes, folder, False))


def _with_code(text: str) -> str:
    """Text as HTML; what stands in `...` is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _table(outcomes: Sequence[Outcome], on_gpu: bool) -> str:
    names = [table.unbroken(name) for name in (table.GPU_COLUMNS if on_gpu else table.CPU_COLUMNS)]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("version", "verdict", *names))
    tasks = list(dict.fromkeys(outcome.task for outcome in outcomes))
    rows = []
    for task in tasks:
        if len(tasks) > 1:
            rows.append(f'<tr><th scope="rowgroup" colspan="{len(names) + 2}">{escape(task)}</th></tr>')
        for outcome in outcomes:
            if outcome.task == task:
                cells = table.figures(outcome, on_gpu)
                cells += [""] * (len(names) - len(cells))
                name = f"yours: {outcome.name}" if outcome.learners else outcome.name
                rows.append(
                    f"<tr><td>{escape(name)}</td>"
                    f'<td><span class="verdict {outcome.verdict.value}">{outcome.verdict.value}</span></td>'
                    + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
                    + "</tr>"
                )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="The checker\'s table"><table id="table">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _what_happened(outcome: Outcome, found: Mapping[str, Any]) -> str:
    """A row that failed, was skipped or isn't timed, in words; with the source lines of a fault."""
    name = f"yours: {outcome.name}" if outcome.learners else outcome.name
    case = f' <span class="soft">case: {escape(outcome.case)}</span>' if outcome.case else ""
    place = f" <span class='soft'>{escape(outcome.where)}</span>" if outcome.where == "on the GPU" else ""
    fault = found.get("fault") or {}
    if fault.get("lines"):
        kind = f"<strong>{escape(fault['kind'])}:</strong> " if fault["kind"] else ""
        words = f"<p>{kind}{escape(fault['message'])}.</p>"
        words += "".join(map(_excerpt, fault["lines"]))
        words += f"<p>{escape(fault['advice'])}</p>" if fault["advice"] else ""
    else:
        words = f'<pre class="wrap">{escape(outcome.what_happened.strip(chr(10)))}</pre>'
    if outcome.mistake:
        words += (
            f"<p><strong>Likely mistake:</strong> {escape(outcome.mistake)}. {escape(outcome.mistake_sentence)}</p>"
            f'<p class="soft">Read: {escape(outcome.read)}</p>'
        )
    if outcome.printed.strip():
        words += f'<p>It printed:</p><pre class="wrap">{escape(outcome.printed.rstrip())}</pre>'
    return (
        f'<section class="panel told"><h2 class="first"><span class="verdict {outcome.verdict.value}">'
        f"{outcome.verdict.value}</span> {escape(name)}{case}{place}</h2>{words}</section>"
    )


def _excerpt(lines: Mapping[str, Any]) -> str:
    """A source line of a fault, marked, with those around it."""
    shown = "".join(
        f'<span class="line{" bad" if number == lines["line"] else ""}"><span class="number">{number}</span>'
        f"{escape(text) or ' '}</span>"
        for number, text in enumerate(lines["text"], lines["first"])
    )
    return (
        f'<p class="soft file">{escape(lines["file"])}, line {lines["line"]}</p>'
        f'<pre class="listing" tabindex="0">{shown}</pre>'
    )
