"""Headless Chromium by the W3C WebDriver protocol (chromedriver), with nothing but the standard
library: what a test of the page needs, and no more."""
import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from .wait import until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Shift": "\ue008", "Space": "\ue00d", "Down": "\ue015"}


class Failed(Exception):
    """What the driver answered instead."""


class Element:
    def __init__(self, browser, id):
        self.browser, self.id = browser, id

    def _do(self, method, path, body=None):
        return self.browser._do(method, f"/element/{self.id}{path}", body)

    @property
    def text(self):
        return self._do("GET", "/text")

    @property
    def shown(self):
        return self._do("GET", "/displayed")

    def attribute(self, name):
        return self._do("GET", f"/attribute/{name}")

    def role(self):
        return self._do("GET", "/computedrole")

    def label(self):
        return self._do("GET", "/computedlabel")

    def click(self):
        self._do("POST", "/click", {})

    def type(self, text):
        self._do("POST", "/value", {"text": text})


class Browser:
    """with Browser() as browser: …; one window, a profile of its own that is gone afterwards."""

    def __init__(self, width=1280, height=900, any_certificate=False):
        for name in ("chromium", "chromedriver"):
            if not shutil.which(name):
                raise RuntimeError(f"no {name}: ops/bootstrap test")
        self.home = tempfile.mkdtemp(prefix="drawbridge-browser-")
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
            env={**os.environ, "HOME": self.home, "TMPDIR": self.home})
        self.session = None
        try:
            self._begin(width, height, any_certificate)
        except BaseException:
            self.close()
            raise

    def _begin(self, width, height, any_certificate):
        for line in self.driver.stdout:
            if "successfully on port" in line:
                self.url = "http://127.0.0.1:" + line.rstrip(". \n").rpartition(" ")[2]
                break
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--disable-background-networking", "--no-first-run",
                            f"--user-data-dir={self.home}/profile", f"--window-size={width},{height}"]}
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": any_certificate, "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = answer["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.session:
            with contextlib.suppress(Exception):
                self._do("DELETE", "")
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def _ask(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as e:
            raise Failed(json.load(e)["value"]) from None

    def _do(self, method, path, body=None):
        return self._ask(method, f"/session/{self.session}{path}", body)

    def cdp(self, command, **params):
        """Chromium's own protocol, for what WebDriver has no word for."""
        return self._do("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    # ---- looking and doing

    def open(self, url):
        self._do("POST", "/url", {"url": url})

    def all(self, selector):
        found = self._do("POST", "/elements", {"using": "css selector", "value": selector})
        return [Element(self, next(iter(e.values()))) for e in found]

    def one(self, selector):
        found = self._do("POST", "/element", {"using": "css selector", "value": selector})
        return Element(self, found[ELEMENT])

    def text(self, selector):
        """Of the page, at this moment, shown or not."""
        return self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector)

    def run(self, script, *args):
        return self._do("POST", "/execute/sync", {"script": script, "args": list(args)})

    def wait(self, condition, what, timeout=15):
        """Until the script `return CONDITION` is true."""
        return until(lambda: self.run("return " + condition), timeout,
                     lambda: f"{what}; the page says: {self.run('return document.body.innerText')[:1500]}")

    def press(self, *keys):
        """Keys one after the other, where the focus is."""
        actions = []
        for key in keys:
            value = KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self._do("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def active(self):
        """The id of the element that has the focus."""
        return self.run("return document.activeElement && document.activeElement.id")

    def emulate(self, width=None, height=None, phone=False, **features):
        """Another screen (width, height), and media features: prefers_color_scheme="dark"."""
        if width:
            self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height or 780,
                     deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.cdp("Emulation.setEmulatedMedia", features=[
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def messages(self):
        """What the console has said since the last look."""
        return self._do("POST", "/se/log", {"type": "browser"})

    def screenshot(self, path, whole=True):
        options = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.cdp("Page.captureScreenshot", format="png", **options)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))
