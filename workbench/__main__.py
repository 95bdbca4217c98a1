"""`python -m workbench COMMAND`: what the Makefile's targets call."""

import argparse
import sys

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
    check.add_argument(
        "--diff", action="store_true", help="show how what passes differs from what is shipped"
    )
    for name, text in (
        ("watch", "check your files of a lesson again whenever you save one"),
        ("hint", "the next hint for a lesson"),
        ("reset", "put a lesson's exercises back to their beginning, and keep yours aside"),
    ):
        commands.add_parser(name, help=text).add_argument("lesson")
    commands.add_parser("progress", help="how far you have come in each lesson")
    commands.add_parser("lab", help="JupyterLab, at the lesson where you are", add_help=False)
    commands.add_parser("doctor", help="what this machine can do, found out by doing it")
    notebooks = commands.add_parser("notebooks", help="run every notebook.py and write its notebook.ipynb")
    notebooks.add_argument("lessons", nargs="*", help="only these")
    notebooks.add_argument("--check", action="store_true", help="only say which differ")
    bench_parser = commands.add_parser(
        "bench", help="check and time everything on this GPU, and keep the figures in benchmarks/"
    )
    bench_parser.add_argument("what", nargs="*", help="only these: numbers of lessons, compare")
    bench_parser.add_argument(
        "--tables", action="store_true", help="only make tables and plots anew, without a GPU"
    )
    commands.add_parser("compare", help="attention implementations side by side", add_help=False)
    commands.add_parser("profile", help="where a lesson's kernels spend their time, and why", add_help=False)
    report = commands.add_parser("report", help="write a page about a lesson and your files, for a browser")
    report.add_argument("lesson")
    commands.add_parser("explore", help="write the tile explorer, a page for a browser")
    commands.add_parser("inspect", help="what the compiler made of a .cu file, line by line", add_help=False)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command not in ("inspect", "compare", "profile", "lab"):
        parser.error(f"unknown: {' '.join(rest)}")

    if sys.platform == "win32":
        print(
            "Windows: this course runs in WSL 2. Install it with `wsl --install`, then clone and run `make` in there."
        )
        return 2
    try:
        if options.command == "check":
            from workbench.check import command as check_command

            numbers = list(lessons.folders()) if options.lesson == "all" else [_number(options.lesson)]
            return check_command.main(numbers, options.json, options.seconds, options.diff)
        if options.command in ("watch", "hint", "reset", "progress", "lab"):
            from workbench import learner

            return learner.main(options.command, getattr(options, "lesson", None), rest)
        if options.command == "doctor":
            from workbench import doctor

            return doctor.main()
        if options.command == "inspect":
            from workbench import inspect_kernel

            return inspect_kernel.main(rest)
        if options.command == "compare":
            from workbench.compare import command

            return command.main(rest)
        if options.command == "profile":
            from workbench import profile

            return profile.main(rest)
        if options.command == "report":
            from workbench import html_report

            return html_report.main(_number(options.lesson))
        if options.command == "explore":
            from workbench import explore

            return explore.main()
        if options.command == "notebooks":
            from workbench import notebooks as tool

            return tool.main([_number(lesson) for lesson in options.lessons], options.check)
        from workbench import bench

        return bench.main(options.what, tables=options.tables)
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


if __name__ == "__main__":
    sys.exit(main())
