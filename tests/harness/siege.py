"""Thousands of connections to a gateway from one process: such as wait, such as listen, such as attack."""
import json
import resource
import selectors
import socket
import threading
import time
import urllib.parse


def room_for_files(n):
    """Fails where the machine does not let one process open so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= n, f"{hard} files at most (ulimit -Hn), {n} are needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n), hard))


def head(method, path, token=None, *more):
    lines = [f"{method} {path} HTTP/1.1", "Host: siege", *([f"Authorization: Bearer {token}"] if token else []), *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def start(token, user):
    """A start that waits as long as it may."""
    body = json.dumps({"userId": user, "placement": {"driver": "simulated"}})
    return head("POST", "/api/vpn/start", token, "Content-Type: application/json", "Prefer: wait=300",
                f"Content-Length: {len(body)}") + body.encode()


class Siege:
    """One thread: it reads what comes to `listeners`, and feeds the attackers a piece in each round; who is cut
    off comes again."""

    ROUND_S = 0.25

    def __init__(self, url):
        at = urllib.parse.urlsplit(url)
        self.at = (at.hostname, at.port)
        self.listening, self.attackers, self.cut_off = selectors.DefaultSelector(), [], 0
        self.over, self.failed = threading.Event(), None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def connect(self, request, receive_bytes=None):
        s = socket.socket()
        if receive_bytes:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        s.settimeout(30)
        s.connect(self.at)
        s.sendall(request)
        return s

    def listen(self, request):
        s = self.connect(request)
        s.setblocking(False)
        self.listening.register(s, selectors.EVENT_READ)

    def attack(self, first, piece):
        """Begins with `first` and goes on with `piece`, again and again."""
        self.attackers.append([None, first, piece])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for key in list(self.listening.get_map().values()):
            key.fileobj.close()
        for s, _, _ in self.attackers:
            if s:
                s.close()

    def _feed(self, attacker):
        s, first, piece = attacker
        try:
            if s is None:
                attacker[0] = s = socket.create_connection(self.at, timeout=10)
                s.setblocking(False)
                s.send(first)
            s.send(piece)
        except BlockingIOError:
            pass
        except OSError:
            self.cut_off += 1
            attacker[0] = None
            if s:
                s.close()

    def _run(self):
        following = 0
        while not self.over.is_set():
            if time.monotonic() >= following:
                following = time.monotonic() + self.ROUND_S
                for attacker in self.attackers:
                    self._feed(attacker)
            for key, _ in self.listening.select(0.05):
                try:
                    piece = key.fileobj.recv(65536)
                except OSError:
                    piece = b""
                if not piece:
                    self.listening.unregister(key.fileobj)
                    key.fileobj.close()
