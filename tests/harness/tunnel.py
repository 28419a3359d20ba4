"""A WireGuard client in a network namespace of its own, through the tunnel to the stack's node."""
import base64
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from .stack import ROOT

NODE = ROOT / "ops" / "wireguard-node"
SERVER = "10.8.0.1"

# Receives a file and sends it back, byte for byte; prints the port it listens on.
ECHO = """
import socket
s = socket.create_server((%r, 0))
print(s.getsockname()[1], flush=True)
c, _ = s.accept()
data = b""
while len(data) < %d:
    part = c.recv(65536)
    if not part:
        break
    data += part
c.sendall(data)
c.shutdown(socket.SHUT_WR)
while c.recv(65536):
    pass
"""
SEND = """
import hashlib, os, socket, threading
data = os.urandom(%d)
s = socket.create_connection((%r, %d), timeout=20)
threading.Thread(target=s.sendall, args=(data,), daemon=True).start()
back = b""
while len(back) < len(data):
    part = s.recv(65536)
    if not part:
        break
    back += part
s.close()
print(hashlib.sha256(data).hexdigest(), hashlib.sha256(back).hexdigest())
"""


def possible():
    """Why there can be no tunnel here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("wg"):
        return "no wg: ops/bootstrap run"
    if not os.path.exists("/dev/net/tun") and not os.path.exists("/sys/module/wireguard"):
        return "neither /dev/net/tun nor a WireGuard module"
    return None


def keys():
    """A fresh pair, as WireGuard writes keys."""
    private = subprocess.run(["wg", "genkey"], capture_output=True, check=True, text=True).stdout
    public = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, check=True,
                            text=True).stdout
    assert len(base64.b64decode(public)) == 32
    return private.strip(), public.strip()


class Tunnel:
    """with Tunnel(stack, conf): the client is up inside the block."""

    def __init__(self, stack, conf):
        self.stack, self.conf = stack, conf

    def __enter__(self):
        self.run = pathlib.Path(tempfile.mkdtemp(prefix="drawbridge-client-"))
        path = self.run / "client.conf"
        path.touch(0o600)
        path.write_text(self.conf)
        try:
            self._node("client-up", str(path))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            self._node("client-down")
        shutil.rmtree(self.run, ignore_errors=True)

    def _node(self, *words, run=None, timeout=30):
        done = subprocess.run([NODE, "--run", str(run or self.run), *words], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout)
        assert done.returncode == 0, f"ops/wireguard-node {words}: {done.stdout}"
        return done.stdout

    def ping(self, count=3, size=56, timeout=20):
        """Sends pings through the tunnel; raises unless at least one comes back."""
        return self._node("exec", "client", "ping", "-q", "-i", "0.01", "-c", str(count), "-s",
                          str(size), "-w", str(timeout), SERVER, timeout=timeout + 10)

    def reaches(self, timeout=2):
        done = subprocess.run([NODE, "--run", str(self.run), "exec", "client", "ping", "-q", "-c",
                               "1", "-W", str(timeout), SERVER], capture_output=True, timeout=20)
        return done.returncode == 0

    def round_trip(self, size=1 << 20):
        """A random file to the server and back: the SHA-256 of what was sent and of what came."""
        server = subprocess.Popen(
            [NODE, "--run", str(self.stack.run), "exec", "node", "python3", "-c",
             ECHO % (SERVER, size)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            start_new_session=True)
        try:
            port = int(server.stdout.readline())
            out = self._node("exec", "client", "python3", "-c", SEND % (size, SERVER, port),
                             timeout=60)
            return tuple(out.split())
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            server.stdout.close()


def peers(stack):
    """{public key: {"allowed": …, "handshake": seconds, "rx": bytes, "tx": bytes}} of the node."""
    out = subprocess.run([NODE, "--run", str(stack.run), "exec", "node", "wg", "show",
                          stack.env["DRAWBRIDGE_WIREGUARD_INTERFACE"], "dump"],
                         capture_output=True, text=True, check=True, timeout=20).stdout
    found = {}
    for line in out.splitlines()[1:]:
        key, _psk, _endpoint, allowed, handshake, rx, tx, _keepalive = line.split("\t")
        found[key] = {"allowed": allowed, "handshake": int(handshake), "rx": int(rx),
                      "tx": int(tx)}
    return found


def set_peer(stack, key, *words):
    subprocess.run([NODE, "--run", str(stack.run), "exec", "node", "wg", "set",
                    stack.env["DRAWBRIDGE_WIREGUARD_INTERFACE"], "peer", key, *words],
                   check=True, capture_output=True, timeout=20)


def add_peer(stack, key, address):
    """As a call of a worker does."""
    set_peer(stack, key, "allowed-ips", address + "/32")


def forget_peer(stack, key):
    set_peer(stack, key, "remove")


def forget_peers(stack):
    """Empties the interface, as a reboot does."""
    for key in peers(stack):
        forget_peer(stack, key)
