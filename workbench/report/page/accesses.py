"""The access picture of a launch: which warp touches which sectors and banks, line by line of the source."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench import ptx
from workbench.ptx.banks import Banks
from workbench.ptx.trespass import pretty
from workbench.ptx.watch import Access

WARP, SECTOR, LINE = 32, 32, 128  # threads; bytes; a line is four sectors, or a word of each bank
FIRST_WARPS, LAST_WARPS = 8, 4  # of the grid: those that are kept
ROUNDS = 16  # requests of one warp at one place of the code: the first ones are kept
LONGEST = 600  # lines of a file that is shown whole


def pictures(reports: Sequence[ptx.Report], root: Path) -> list[dict[str, Any]]:
    """One for each kernel that was launched (its first launch), ready for JSON.

    reports: with counters and trace. root: file names are told from there on.
    """
    first: dict[tuple[str, tuple[tuple[str, int], ...]], ptx.Report] = {}
    for report in reports:
        if report.lines:
            first.setdefault((report.kernel, tuple(sorted(report.lines))), report)
    return [_picture(report, root) for report in first.values()]


def _picture(report: ptx.Report, root: Path) -> dict[str, Any]:
    files = sorted({file for file, line in report.lines if file and line > 0})
    every = _warps(report)
    return {
        "kernel": report.kernel,
        "grid": report.grid,
        "block": report.block,
        "files": [_file(file, report, root) for file in files],
        "sites": _sites(report.trace, every, int(np.prod(report.block)), root),
        "warps": [
            {"block": _three(block, report.grid), "warp": warp}
            for block, warp in (divmod(one, _a_block(report)) for one in every)
        ],
        "left_out": int(np.prod(report.grid)) * _a_block(report) - len(every),
    }


def _a_block(report: ptx.Report) -> int:
    """Warps of a block."""
    return -(-int(np.prod(report.block)) // WARP)


def _warps(report: ptx.Report) -> list[int]:
    """The warps of the grid that are shown, counted through it."""
    total = int(np.prod(report.grid)) * _a_block(report)
    return sorted({*range(min(FIRST_WARPS, total)), *range(max(0, total - LAST_WARPS), total)})


def _three(number: int, sizes: tuple[int, int, int]) -> list[int]:
    x, y, _ = sizes
    return [number % x, number // x % y, number // (x * y)]


def _name(file: str, root: Path) -> str:
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _file(file: str, report: ptx.Report, root: Path) -> dict[str, Any]:
    """A source file, and what each of its lines counted: [requests, sectors, shared requests, bank conflicts]."""
    try:
        text = Path(file).read_text(errors="replace").splitlines()
    except OSError:
        text = []
    counted = {}
    for (name, line), counters in report.lines.items():
        if name == file and line > 0:
            requests = counters.global_requests + counters.global_atomic_requests
            sectors = counters.global_sectors + counters.global_atomic_sectors
            counted[line] = [requests, sectors, counters.shared_requests, counters.bank_conflicts]
    shown = range(1, len(text) + 1)
    if len(text) > LONGEST:
        shown = range(max(1, min(counted) - 5), min(len(text), max(counted) + 5) + 1)
    return {
        "name": _name(file, root),
        "first": shown.start,
        "lines": [text[line - 1] for line in shown],
        "counted": {line: values for line, values in counted.items() if any(values)},
    }


def _sites(trace: Iterable[Access], warps: Sequence[int], threads: int, root: Path) -> list[dict[str, Any]]:
    """The places of the code that touch memory: for each the first requests of the warps that are shown.

    An array begins with a line, as on a GPU, unless it is a view that doesn't even begin with a sector.
    A request is [which of `warps`, address of the line of 128 bytes that it begins in, counted from the array's start,
    which of the site's patterns]. A pattern: byte offsets from there, by lane (null: the lane takes no part).
    """
    a_block, banks = -(-threads // WARP), Banks()
    place = {warp: number for number, warp in enumerate(warps)}
    sites: dict[tuple[Any, ...], dict[str, Any]] = {}
    for access in trace:
        block, inside = np.divmod(access.threads, threads)
        warp, lane = block * a_block + inside // WARP, inside % WARP
        key = (access.file, access.line, access.kind, access.space, access.array, access.size)
        for one in np.unique(warp[np.isin(warp, warps)]).tolist():
            site = sites.setdefault(key, _empty(access, root))
            site["rounds"][place[one]] = nth = site["rounds"].get(place[one], 0) + 1
            if nth > ROUNDS:
                continue
            mine = warp == one
            shift = access.start % (SECTOR if access.space == "global" else LINE)
            offsets = np.broadcast_to(access.offsets, access.threads.shape)[mine] + shift
            base = int(offsets.min()) // LINE * LINE
            at: list[int | None] = [None] * WARP
            for number, offset in zip(lane[mine].tolist(), (offsets - base).tolist(), strict=True):
                at[number] = offset
            site["requests"].append([place[one], base - shift, _pattern(site, at, access, banks)])
    found = [site for site in sites.values() if site["requests"]]
    for site in found:
        del site["known"]
    return sorted(found, key=lambda site: (site["file"], site["line"]))


def _empty(access: Access, root: Path) -> dict[str, Any]:
    return {
        "file": _name(access.file, root),
        "line": access.line,
        "kind": access.kind,
        "space": access.space,
        "array": pretty(access.array),
        "size": access.size,
        "patterns": [],
        "requests": [],
        "rounds": {},  # how many requests each warp made in all
        "known": {},
    }


def _pattern(site: dict[str, Any], at: list[int | None], access: Access, banks: Banks) -> int:
    """The number of this pattern among the site's, which it joins if it is new."""
    number: int | None = site["known"].get(tuple(at))
    if number is None:
        number = site["known"][tuple(at)] = len(site["patterns"])
        present = np.array([[one is not None for one in at]])
        pattern: dict[str, Any] = {"at": at}
        if access.space == "shared":
            offsets = np.array([[one or 0 for one in at]], np.int64)
            wavefronts, least = banks.wavefronts(offsets, None if present.all() else present, access.size)
            pattern.update(wavefronts=wavefronts, least=least)
        site["patterns"].append(pattern)
    return number
