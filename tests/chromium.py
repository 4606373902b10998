"""A headless Chromium, driven through a pipe: no library, no port. Tests that need it skip where none is installed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_S = 90.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check", "--remote-debugging-pipe",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--mute-audio",
    "--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider", "--disable-domain-reliability", "--no-pings", "--hide-scrollbars",
    "--window-size=1280,800",
)  # fmt: skip


class Tab:
    """One page: what it asked for, what its console said, and what it shows."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.requests: list[str] = []  # addresses
        self.said: list[str] = []  # errors, warnings and dialogs
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol."""
        return self._browser.call(method, params, session=self._session, tab=self)

    def open(self, address: str) -> None:
        """Go there; the module of the page runs after this."""
        self.call("Page.navigate", url=address)

    def js(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, expression: str, *, within_s: float = 30.0) -> Any:
        """The first true value of an expression. Raises AssertionError where there is none."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            found = self.js(f"(() => {{ try {{ const v = {expression}; return v instanceof Node || v }} catch {{ return null }} }})()")
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}\n{self.said}\n{self.text()[:2000]}")

    def text(self) -> str:
        """What a person can read."""
        return str(self.js("document.body?.innerText ?? ''"))

    def key(self, key: str) -> None:
        """Press a key."""
        texts = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {"code": "Tab", "windowsVirtualKeyCode": 9} if key == "Tab" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **texts)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def look(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """As a window of this size, in light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def picture(self, path: Path) -> None:
        """A screenshot, as .png or .webp."""
        told = self.call("Page.captureScreenshot", format=path.suffix[1:], **({"quality": 85} if path.suffix == ".webp" else {}))
        path.write_bytes(base64.b64decode(told["data"]))


class Browser:
    """The process, and its pipe of messages that end with a zero byte."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, out: int) -> None:
        self.process, self._to, self._out = process, to, out
        self._buffer, self._n = b"", 0
        self.tabs: dict[str, Tab] = {}

    def tab(self) -> Tab:
        """A new page."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        made = Tab.__new__(Tab)
        self.tabs[session] = made
        made.__init__(self, session)  # type: ignore[misc]
        return made

    def call(self, method: str, params: Mapping[str, Any], *, session: str | None = None, tab: Tab | None = None) -> dict[str, Any]:
        """Send a command, and read until its reply."""
        self._n += 1
        mine = self._n
        message = {"id": mine, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + WAIT_S
        while True:
            told = self._read(end)
            if told.get("id") == mine:
                assert "error" not in told, (method, told["error"])
                return dict(told["result"])
            self._heard(told)

    def _read(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            self._buffer += os.read(self._out, 1 << 20)
        line, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(line))

    def _heard(self, told: Mapping[str, Any]) -> None:
        tab = self.tabs.get(str(told.get("sessionId")))
        if tab is None:
            return
        params = told["params"]
        match told["method"]:
            case "Network.requestWillBeSent":
                tab.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                tab.said.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"])))
            case "Log.entryAdded":
                tab.said.append(str(params["entry"]["text"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                tab.said.append(str(params["args"]))
            case "Page.javascriptDialogOpening":
                tab.said.append(f"dialog: {params['message']}")
            case _:
                pass


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, gone at the end."""
    assert CHROMIUM is not None
    to_child, to_us = os.pipe(), os.pipe()
    give = f'exec "$0" "$@" 3<&{to_child[0]} 4>&{to_us[1]}'
    process = subprocess.Popen(
        ["bash", "-c", give, CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(to_child[0], to_us[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(profile)},
    )  # fmt: skip
    os.close(to_child[0])
    os.close(to_us[1])
    try:
        yield Browser(process, to_child[1], to_us[0])
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(to_child[1])
        os.close(to_us[0])
