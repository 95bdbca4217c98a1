"""A headless Chromium for tests, over its DevTools protocol: load a page, act as a reader does, see what it says.

It needs a Chromium or Chrome on the PATH, and websocket-client, which JupyterLab brings along.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60.0  # seconds


def executable() -> str | None:
    """The browser's path, if there is one; CHROMIUM in the environment names another."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A running browser that resolves no host name, and is gone afterwards."""
    from websocket import create_connection

    found = executable()
    assert found is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                found, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-port=0",
                "--remote-allow-origins=*", f"--user-data-dir={profile}", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            port = _until(lambda: _port(Path(profile)), "Chromium doesn't say its port")
            socket = create_connection(
                f"ws://127.0.0.1:{port[0]}{port[1]}", timeout=PATIENCE, suppress_origin=True
            )
            yield Browser(socket)
            socket.close()
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(profile: Path) -> tuple[str, str] | None:
    try:
        port, path = (profile / "DevToolsActivePort").read_text().split()
    except (OSError, ValueError):
        return None
    return port, path


def _until(ask: Callable[[], Any], otherwise: str) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(otherwise)


class Browser:
    """The browser; `open` gives a page in a tab of its own."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.number, self.events = socket, 0, []

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.socket.send(json.dumps({**message, **({"sessionId": session} if session else {})}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def open(self, file: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> "Tab":
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, target, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        tab.look(width, height, dark)
        tab.call("Page.navigate", url=file.as_uri())
        _until(
            lambda: tab.run("document.readyState") == "complete" and tab.run("location.protocol") == "file:",
            "the page doesn't load",
        )
        return tab


class Tab:
    """One page."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self.browser, self.target, self.session = browser, target, session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def look(self, width: int, height: int = 900, dark: bool = False, media: str = "") -> None:
        """The window's size, which colours the reader prefers, and the medium ("print")."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """The text that the reader sees there."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector: str) -> None:
        """Press the mouse on the middle of an element, as a reader does."""
        x, y = self.point(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def hover(self, selector: str) -> None:
        x, y = self.point(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def point(self, selector: str) -> tuple[float, float]:
        """The middle of an element, scrolled into sight."""
        return tuple(
            self.run(
                f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
                " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
            )
        )

    def press(self, key: str, **more: Any) -> None:
        """A key, by its name in the standard: "ArrowRight", "Tab", "Enter"."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36,
                 "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip
        text = {"Enter": "\r", " ": " "}.get(key)
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code="Space" if key == " " else key,
                      windowsVirtualKeyCode=codes[key], **typed, **more)  # fmt: skip

    def choose(self, selector: str, value: str) -> None:
        """Set a <select>, as choosing from its list does."""
        self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.value = {json.dumps(value)};"
            " e.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    def problems(self) -> list[str]:
        """What went wrong so far: exceptions, errors on the console, and whatever the page asked the network for."""
        self.run("0")  # what has happened has arrived
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            kind, what = event["method"], event["params"]
            if kind == "Runtime.exceptionThrown":
                details = what["exceptionDetails"]
                found.append(details.get("exception", {}).get("description", details["text"]))
            elif kind == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                found.append(f"console: {what['args']}")
            elif kind == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                found.append(f"log: {what['entry']['text']}")
            elif kind == "Network.requestWillBeSent" and not re.match(
                "file:|data:|about:", what["request"]["url"]
            ):
                found.append(f"network: {what['request']['url']}")
        return found

    def overflow(self) -> list[str]:
        """The elements that reach beyond the window's right edge (but for those in a box that scrolls by itself)."""
        return self.run(
            """(() => {
              const edge = document.documentElement.clientWidth, found = [];
              if (document.documentElement.scrollWidth > edge) found.push("the page scrolls sideways");
              for (const e of document.querySelectorAll("main *")) {
                const box = e.getBoundingClientRect();
                if (box.width && box.right > edge + 0.5 && !e.closest(".scroll, .source, pre, svg"))
                  found.push(`${e.tagName} ${e.id} ${e.className}: ${box.right}`);
              }
              return found;
            })()"""
        )

    def nameless(self) -> list[str]:
        """Controls and figures without a name that a screen reader could say."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        roles = (
            "button",
            "combobox",
            "slider",
            "checkbox",
            "radio",
            "link",
            "image",
            "img",
            "textbox",
            "region",
        )
        return [
            node["role"]["value"]
            for node in nodes
            if not node.get("ignored")
            and node.get("role", {}).get("value") in roles
            and not node.get("name", {}).get("value", "").strip()
        ]

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])

    def screenshot(self, path: Path, whole: bool = True) -> None:
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **(
            {"clip": {"x": 0, "y": 0, "scale": 1, **self.run(
                "({width: document.documentElement.clientWidth, height: document.documentElement.scrollHeight})"
            )}} if whole else {}
        ))  # fmt: skip
        path.write_bytes(base64.b64decode(answer["data"]))
