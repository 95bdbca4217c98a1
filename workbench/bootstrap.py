"""Makes .venv and installs requirements.txt into it: the Makefile calls it where needed.

The system's Python runs this before anything is installed, so it imports only the standard library, and its
syntax is Python 3.6's: an old Python should say that it is old, not stumble over a newer word.
"""

import ctypes
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO, Dict, List, Sequence

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements.txt"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
READY = VENV / "ready"  # written last; holds the hash of the requirements.txt that was installed
LOG = VENV / "install.log"
OLDEST = (3, 10)


class Stop(Exception):
    """Set-up can't go on; the message says what to do."""


def main() -> int:
    """Make .venv ready: 0; 2 after a problem, told in a sentence; 130 when interrupted."""
    try:
        check_machine()
        with REQUIREMENTS.open("rb") as file:
            wait_for_others(file)
            wanted = hashlib.sha256(file.read()).hexdigest()
            if READY.is_file() and READY.read_text() == wanted and runs(PYTHON, "-c", ""):
                READY.touch()  # a new date on requirements.txt, the same content
            else:
                install(wanted)
        return 0
    except Stop as stop:
        say(f"\n{stop}")
        return 2
    except OSError as error:
        say(f"\nSet-up stopped: {error}. Mend that, then run make again: it goes on where it stopped.")
        return 2
    except KeyboardInterrupt:
        say("\nStopped before the end. Run make again: it goes on where it stopped.")
        return 130


def check_machine() -> None:
    """Raise `Stop` where a virtual environment can't be made."""
    if sys.platform in ("win32", "cygwin", "msys"):
        raise Stop(
            "Windows runs the course inside WSL: type  wsl --install  in a terminal, restart, open Ubuntu, "
            "clone the repository there and run make."
        )
    if sys.version_info < OLDEST:
        found = "{}.{}.{} ({})".format(*sys.version_info[:3], sys.executable)
        newer = [name for name in map("python3.{}".format, range(OLDEST[1], 15)) if runs(name, "--version")]
        there = f"This machine has {newer[-1]}" if newer else "Install a newer one"
        raise Stop(
            f"Python {found} is too old: Python 3.{OLDEST[1]} or newer is needed. "
            f"{there}; name it with  make BASE_PYTHON={newer[-1] if newer else '/path/to/python3'}  , "
            "or use one that already has every package with  make PYTHON=/path/to/python  ."
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise Stop(
            f"{sys.executable} can't make virtual environments: its venv module is missing. "
            "On Debian and Ubuntu:  sudo apt install python3-venv  , then run make again."
        )


def wait_for_others(file: BinaryIO) -> None:
    """Let an install that runs in another terminal end first."""
    import fcntl  # not on Windows

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another make is installing; waiting for it to end.")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without locks


def install(wanted: str) -> None:
    """Make .venv, or go on with one that was begun, and leave the stamp `wanted` in it."""
    start = time.monotonic()
    gpu, linux = gpu_count() > 0, sys.platform == "linux"
    say(f"Setting up .venv with Python {platform.python_version()}; this happens once.")
    if sys.platform == "darwin":
        say(
            "  macOS: NVRTC, Triton and CuPy exist only for Linux, so what needs them is skipped here. "
            "Use a Linux virtual machine or container for all of the course."
        )

    if not runs(PYTHON, "-c", f"import sys; sys.exit(sys.version_info < {OLDEST})") or not runs(
        PYTHON, "-m", "pip", "--version"
    ):
        say("  a new virtual environment (5 s)")
        made = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(VENV)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if made.returncode != 0:
            words = made.stdout.decode(errors="replace").strip() or "no reason given"
            raise Stop(f"The virtual environment couldn't be made: {words}\nMend that, then run make again.")
    if READY.exists():
        READY.unlink()
    forget_half_installed()
    LOG.write_text("")

    if linux and not gpu:
        install_cpu_torch()
    size = "3 GB, 2 to 10 minutes" if gpu else "0.5 GB, 1 to 3 minutes"
    say(f"  the packages of requirements.txt (about {size})")
    if pip("install", "--retries", "2", "-r", str(REQUIREMENTS)) != 0:
        raise Stop(reason(LOG.read_text(errors="replace")) + f" All that pip said is in {shown(LOG)}.")

    for folder in site_packages():  # .venv's Python finds the course's own packages from every folder
        (folder / "tile_by_tile.pth").write_text(os.path.relpath(str(ROOT), str(folder)) + "\n")
    READY.write_text(wanted)
    say(f"Ready after {time.monotonic() - start:.0f} s.\n")


def install_cpu_torch() -> None:
    """Install PyTorch's CPU build, which is ten times smaller than the default one.

    uv knows by name where it is. If that fails, pip installs what it finds: the default build works as well.
    """
    torch = next(line.split(";")[0].strip() for line in REQUIREMENTS.open() if line.startswith("torch=="))
    say("  PyTorch's CPU build, as there is no NVIDIA GPU (about 0.2 GB)")
    if runs(PYTHON, "-c", f"import importlib.metadata as m; m.version('torch') in '{torch}' or 1 / 0"):
        return
    fast = {"UV_HTTP_RETRIES": "1", "UV_HTTP_CONNECT_TIMEOUT": "5"}
    fetch = ("-m", "uv", "pip", "install", "--torch-backend=cpu", "--no-deps", "--python", str(PYTHON), torch)
    if pip("install", "--retries", "0", "uv") != 0 or logged(fetch, fast) != 0:
        say("    not reachable: pip takes the build that it finds (the default one is about 3 GB)")


def pip(*arguments: str) -> int:
    """Run .venv's pip; its exit status."""
    return logged(
        (
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            arguments[0],
            "--progress-bar",
            "off",
            *arguments[1:],
        ),
        {"PIP_USER": "0"},
    )


def logged(arguments: Sequence[str], environment: Dict[str, str]) -> int:
    """Run .venv's Python, keep what it says in the log, and show the long steps; its exit status."""
    process = subprocess.Popen(
        [str(PYTHON), *arguments],
        env=dict(os.environ, **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        with LOG.open("a") as log:
            log.write("$ python {}\n".format(" ".join(arguments)))
            log.flush()
            for raw in process.stdout:
                line = raw.decode(errors="replace")
                log.write(line)
                log.flush()
                large = re.match(r"\s*Downloading (\S+?)-\d\S* \(((?:[\d.]+ GB)|(?:\d{2,}[\d.]* MB))\)", line)
                if large:
                    say(f"    downloading {large.group(1).split('/')[-1]}, {large.group(2)}")
                elif line.startswith("Installing collected packages"):
                    say(f"    unpacking {line.count(',') + 1} packages")
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


def reason(log: str) -> str:
    """Why pip stopped, and what to do, in a sentence; from what it said."""
    log = log.split("\n$ python ")[-1]  # of its last run
    begun = re.findall(r"(?:^\s*Collecting|satisfies the requirement) ([\w.-]+)", log, re.MULTILINE)
    what = begun[-1] if begun else "the packages"
    missing = re.search(r"No matching distribution found for (\S+)", log)
    if re.search(r"No space left on device", log):
        return f"The disk is full: {what} couldn't be installed. Make room (3 to 8 GB), then run make again."
    if re.search(r"connection|timed out|name resolution|ProxyError|SSLError|Max retries", log, re.IGNORECASE):
        return (
            f"No network: {what} couldn't be fetched. Check the connection, or the proxy (HTTPS_PROXY), "
            "then run make again: it goes on where it stopped."
        )
    if missing:
        here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
        return (
            f"There is no {missing.group(1)} for {here}. "
            "Try another Python:  make clean  and  make BASE_PYTHON=python3.12  ."
        )
    errors = re.findall(r"^ERROR: (.+)", log, re.MULTILINE)
    said = f" ({errors[-1]})" if errors else ""
    return f"pip couldn't install {what}{said}. Run make again; if it stops again, begin anew:  make clean  ."


def forget_half_installed() -> None:
    """Remove what an interrupted pip left: it would take a package with no complete record for installed."""
    for folder in site_packages():
        for info in folder.glob("*.dist-info"):
            if not ((info / "INSTALLER").exists() and (info / "RECORD").exists()):
                shutil.rmtree(str(info))
        for leftover in folder.glob("~*"):
            shutil.rmtree(str(leftover), ignore_errors=True)


def site_packages() -> List[Path]:
    return list(VENV.glob("lib/python*/site-packages"))


def runs(*command: object) -> bool:
    """Does this command end well?"""
    try:
        nowhere = subprocess.DEVNULL
        words = [str(word) for word in command]
        return subprocess.call(words, stdin=nowhere, stdout=nowhere, stderr=nowhere) == 0
    except OSError:
        return False


def gpu_count() -> int:
    """How many NVIDIA GPUs the driver shows; 0 without a driver."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        if driver.cuInit(0) == 0:
            driver.cuDeviceGetCount(ctypes.byref(count))
    except OSError:
        pass
    return count.value


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
