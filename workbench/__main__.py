"""`python -m workbench COMMAND`: what the Makefile's targets call."""

import argparse
import json
import sys
from pathlib import Path

from workbench import lessons


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 well, 1 something failed, 2 wrong usage or environment."""
    parser = argparse.ArgumentParser(prog="python -m workbench", description="The workbench of Tile by Tile.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check a lesson: every implementation, and your own")
    check.add_argument("lesson", help="its number, or all")
    check.add_argument(
        "--json", metavar="FILE", help="also write everything to FILE (- for the terminal, alone)"
    )
    check.add_argument(
        "--seconds", type=float, default=30.0, help="time limit for a case of your file (%(default)s)"
    )
    hint = commands.add_parser("hint", help="the next hint for a lesson")
    hint.add_argument("lesson")
    commands.add_parser("doctor", help="what this machine can do, found out by doing it")
    notebooks = commands.add_parser("notebooks", help="run every notebook.py and write its notebook.ipynb")
    notebooks.add_argument("lessons", nargs="*", help="only these")
    notebooks.add_argument("--check", action="store_true", help="only say which differ")
    commands.add_parser(
        "bench", help="check and time everything on this GPU, and keep the figures in benchmarks/"
    )
    commands.add_parser("inspect", help="what the compiler made of a .cu file, line by line", add_help=False)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "inspect":
        parser.error(f"unknown: {' '.join(rest)}")

    if sys.platform == "win32":
        print(
            "Windows: this course runs in WSL 2. Install it with `wsl --install`, then clone and run `make` in there."
        )
        return 2
    try:
        if options.command == "check":
            return _check(options.lesson, options.json, options.seconds)
        if options.command == "hint":
            from workbench.hints import next_hint

            print(next_hint(lessons.folder(options.lesson)))
            return 0
        if options.command == "doctor":
            from workbench import doctor

            return doctor.main()
        if options.command == "inspect":
            from workbench import inspect_kernel

            return inspect_kernel.main(rest)
        if options.command == "notebooks":
            from workbench import notebooks as tool

            return tool.main([_number(lesson) for lesson in options.lessons], options.check)
        from workbench import bench

        return bench.main()
    except lessons.NoSuchLesson as error:
        print(error, file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f"{error.name} isn't installed for {sys.executable}. `make doctor` says how to mend it.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def _number(asked: str) -> int:
    lessons.folder(asked)
    return int(asked)


def _check(asked: str, json_file: str | None, seconds: float) -> int:
    from rich.console import Console

    from workbench.check.check import check_lesson
    from workbench.check.outcome import Verdict
    from workbench.check.processes import CheckerError
    from workbench.report import machine, table

    numbers = list(lessons.folders()) if asked == "all" else [_number(asked)]
    if not 0 < seconds < float("inf"):
        print("--seconds takes a number above 0.", file=sys.stderr)
        return 2
    if json_file not in (None, "-") and not Path(json_file or "").parent.is_dir():
        print(f"--json: there is no folder {Path(json_file or '').parent}.", file=sys.stderr)
        return 2
    console = Console(quiet=json_file == "-", highlight=False)
    here = machine.describe()
    answers, failed = [], False
    for number in numbers:
        folder = lessons.folder(number).relative_to(lessons.ROOT)
        with console.status(f"Lesson {number}: starting") as status:
            try:
                report = check_lesson(number, progress=lambda text: status.update(text), seconds=seconds)
            except CheckerError as error:
                print(f"{error}\n`make doctor` says what is missing.", file=sys.stderr)
                return 2
        failed |= any(outcome.verdict is Verdict.FAIL for outcome in report.outcomes)
        gpu = here["gpu"]
        table.show(console, number, report.title, report.outcomes, str(gpu) if gpu else None, folder)
        rows = [outcome.as_dict() for outcome in report.outcomes]
        answers.append({"lesson": number, "title": report.title, "rows": rows})
    if json_file:
        text = json.dumps({"machine": here, "lessons": answers}, indent=2)
        if json_file == "-":
            print(text)
        else:
            Path(json_file).write_text(text + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
