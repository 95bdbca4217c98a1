"""Pages of one self-contained HTML file: our own style sheet, scripts and data within it, nothing from the web."""

import html
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


class CannotWrite(OSError):
    """The page can't be written there; the message says where and why."""


def page(title: str, body: str, data: Mapping[str, Any], script: str) -> str:
    """The page as text. body: the HTML inside <main>. script: a file beside this one, which finds `data` as DATA.

    common.js runs before the script.
    """
    # "</script>" within the data would end it, so no "<" stands there as itself.
    written = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>
{_file("style.css")}</style>
</head>
<body>
<main>
{body}
<noscript><p>This page draws its figures with JavaScript, which is switched off here.</p></noscript>
</main>
<script type="application/json" id="data">{written}</script>
<script>
{_file("common.js")}
{_file(script)}</script>
</body>
</html>
"""


def check_writable(path: Path) -> None:
    """Raises `CannotWrite` if a page can't be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem):
            pass
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
    except OSError as error:
        raise _cannot(path, error) from error


def write(path: Path, text: str) -> None:
    """Write a page, all of it or nothing. Raises `CannotWrite`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=path.stem, suffix=".tmp", delete=False, encoding="utf-8"
        ) as file:
            try:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _cannot(path, error) from error


def _cannot(path: Path, error: OSError) -> CannotWrite:
    return CannotWrite(f"{path} can't be written: {error.strerror or error}.")


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
