"""A real Chromium without a screen, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
REQUIRED = "BIDE_REQUIRE_BROWSER"
"""Set to 1 where the tests have to look at pages: there a missing browser is a failure."""
_START_S, _ANSWER_S = 60, 60
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def find_chromium() -> str:
    """Where Chromium is. Without one the test is skipped, or fails where a browser is required."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found:
        return found
    words = "Chromium is not installed, so no page was looked at. On Debian: apt install chromium"
    if os.environ.get("CI") or os.environ.get(REQUIRED) == "1":
        pytest.fail(words)
    pytest.skip(words)


class Chromium:
    """One browser with one page, for a ``with`` statement."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._program = find_chromium()
        self._next_id = 0
        self.notices: list[dict[str, Any]] = []
        """Everything that the browser told of its own accord, in order."""

    def __enter__(self) -> Self:
        self._profile.mkdir(parents=True)
        self._stack = ExitStack()
        self._log = self._stack.enter_context((self._profile / "stderr").open("wb"))
        self._process = subprocess.Popen(
            [self._program, *_FLAGS, f"--user-data-dir={self._profile / 'data'}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            # Its crash reports and caches stay in the profile too.
            env={**os.environ, "HOME": str(self._profile), "XDG_CONFIG_HOME": str(self._profile)},
        )
        self._stack.callback(self._end)
        try:
            self._socket = self._connect()
            target = next(t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
            attached = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            self._session: str | None = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _connect(self) -> ClientConnection:
        self._session = None
        deadline = time.monotonic() + _START_S
        while True:
            said = (self._profile / "stderr").read_text(errors="replace")
            _, found, rest = said.partition("DevTools listening on ")
            if found and "\n" in rest:
                return self._stack.enter_context(connect(rest.split("\n", 1)[0].strip(), max_size=None, proxy=None))
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Chromium did not start: {said[-2000:]}")
            time.sleep(0.05)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._next_id += 1
        message: dict[str, Any] = {"id": self._next_id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = self._receive()
            if answer.get("id") == self._next_id:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._socket.recv(timeout=_ANSWER_S))
        if "method" in answer:
            self.notices.append(answer)
        return answer

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A DevTools command to the page."""
        return self._call(method, **params)

    def view(self, *, width: int, height: int = 900, dark: bool = False, media: str = "screen") -> None:
        """How large the window is and what the person prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def open(self, page: Path) -> None:
        """Open a file, and wait until it is drawn."""
        begins = len(self.notices)
        self.call("Page.navigate", url=page.as_uri())
        while not any(notice["method"] == "Page.loadEventFired" for notice in self.notices[begins:]):
            self._receive()

    def told(self, method: str) -> list[dict[str, Any]]:
        """What the browser told by itself under that name."""
        self.ask("0")  # everything that came before this answer has arrived
        return [notice["params"] for notice in self.notices if notice["method"] == method]

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = True) -> Path:
        """The page as a PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])
