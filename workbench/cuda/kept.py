"""Compiled programs, kept in .cache/compiled: what was compiled once, by any process, needn't be compiled again."""

import os
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".cache" / "compiled"
MOST = 2_000  # files; of more, the older half goes


def read(key: str) -> dict[str, bytes] | None:
    """The parts that were kept under `key`, or None."""
    try:
        with zipfile.ZipFile(FOLDER / f"{key}.zip") as kept:
            return {name: kept.read(name) for name in kept.namelist()}
    except (OSError, zipfile.BadZipFile):  # not there, or not written to its end
        return None


def keep(key: str, parts: dict[str, bytes]) -> None:
    """Keep the parts under `key`, where the folder can be written."""
    with suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=FOLDER)
        with (
            os.fdopen(handle, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as kept,
        ):
            for part, content in parts.items():
                kept.writestr(part, content)
        os.replace(name, FOLDER / f"{key}.zip")  # at once: another process finds all of it or nothing
        _clear_old()


def _clear_old() -> None:
    files = list(FOLDER.iterdir())
    if len(files) > MOST:
        for file in sorted(files, key=lambda file: file.stat().st_mtime)[: MOST // 2]:
            file.unlink(missing_ok=True)
