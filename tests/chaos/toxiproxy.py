"""toxiproxy's server and its HTTP interface: delays, cuts, half-open connections, slow links."""
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request

from harness import until


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Toxiproxy:
    def __init__(self, log):
        program = os.environ.get("TOXIPROXY", "")
        if not os.access(program, os.X_OK):
            raise RuntimeError(f"no toxiproxy at '{program}': ops/bootstrap test")
        self.port = free_port()
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [program, "-host", "127.0.0.1", "-port", str(self.port)], stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True)
        until(self.answers, 10, "toxiproxy")

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def answers(self):
        try:
            self.call("GET", "/version")
            return True
        except OSError:
            assert self.process.poll() is None, "toxiproxy ended at once"
            return False

    def proxy(self, name, listen, upstream):
        self.call("POST", "/proxies", {"name": name, "listen": f"127.0.0.1:{listen}",
                                       "upstream": f"127.0.0.1:{upstream}", "enabled": True})

    def toxic(self, proxy, kind, stream="downstream", **attributes):
        self.call("POST", f"/proxies/{proxy}/toxics",
                  {"name": f"{kind}_{stream}", "type": kind, "stream": stream, "toxicity": 1.0,
                   "attributes": attributes})

    def enabled(self, proxy, yes):
        self.call("POST", f"/proxies/{proxy}", {"enabled": yes})

    def heal(self):
        """Enables every proxy and takes all toxics away."""
        self.call("POST", "/reset")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
