"""Jupyter kernels forked from a process that has imported what notebooks import, which takes seconds each time.

Not beside a GPU's driver, which doesn't survive a fork.
"""

import multiprocessing
import os
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["ipykernel.kernelapp", "workbench.check.run", "workbench.report.figures", "workbench.triton.interpreter"]
)


async def launch_kernel(
    provisioner: Any, command: list[str], *, cwd: str, env: dict[str, str], **_: Any
) -> Any:
    """Stands in for `LocalProvisioner.launch_kernel`. command: [python, "-m", "ipykernel_launcher", argument, ...]."""
    provisioner.process = Forked(command[3:], cwd, env)
    provisioner.pid = provisioner.pgid = provisioner.process.pid
    provisioner.cwd = Path(cwd)
    return provisioner.connection_info


class Forked:
    """The kernel's process, with what Jupyter uses of a `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: list[str], cwd: str, env: dict[str, str]) -> None:
        self.process = FORKS.Process(target=_kernel, args=(arguments, cwd, env))
        self.process.start()
        self.pid = self.process.pid or 0

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def _kernel(arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    import matplotlib
    from ipykernel.kernelapp import IPKernelApp

    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    # What a kernel tells matplotlib before that is imported:
    matplotlib.rcParams["backend"] = "module://matplotlib_inline.backend_inline"
    IPKernelApp.launch_instance(argv=arguments)
