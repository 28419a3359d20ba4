"""A proxy before PostgreSQL that understands just enough of its protocol to cut a connection exactly
around a commit: after the server has committed and before the client hears of it ("reply"), or
before the server hears the end of the segment ("request"). No code of the workers is involved."""
import collections
import contextlib
import socket
import struct
import threading

SSL_REQUEST, GSS_REQUEST, CANCEL = 80877103, 80877104, 80877102
COMMIT = b"shard_advance"  # the statement that every batch's commit has


class Messages:
    """Whole messages out of a stream. Startup messages have no type byte."""

    def __init__(self, startup):
        self.buffer, self.startup = b"", startup

    def feed(self, data):
        self.buffer += data
        while True:
            head = 4 if self.startup else 5
            if len(self.buffer) < head:
                return
            length = struct.unpack("!I", self.buffer[head - 4:head])[0] + head - 4
            if len(self.buffer) < length:
                return
            message, self.buffer = self.buffer[:length], self.buffer[length:]
            kind = b"" if self.startup else message[:1]
            if self.startup:
                code = struct.unpack("!I", message[4:8])[0]
                self.startup = code in (SSL_REQUEST, GSS_REQUEST)
            yield kind, message


class Link:
    """One connection of a client."""

    def __init__(self, cutter, client, server):
        self.cutter, self.client, self.server = cutter, client, server
        self.syncs = self.answers = 0
        self.cut_after = None  # the sync whose answer the client will not see
        self.committing = False
        self.unanswered = collections.deque()  # startup: one byte is the answer to these

    def run(self):
        threading.Thread(target=self.guard, args=(self.requests,), daemon=True).start()
        threading.Thread(target=self.guard, args=(self.replies,), daemon=True).start()

    def guard(self, direction):
        with contextlib.suppress(OSError):
            direction()
        self.close()

    def close(self):
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                end.close()

    def requests(self):
        messages = Messages(startup=True)
        while data := self.client.recv(1 << 16):
            out = b""
            for kind, message in messages.feed(data):
                if kind == b"" and messages.startup:
                    self.unanswered.append(message)
                if kind == b"B" and COMMIT in message[:80]:
                    self.committing = True
                if kind == b"S":
                    self.syncs += 1
                    mode = self.cutter.take() if self.committing else None
                    self.committing = False
                    if mode == "request":
                        self.server.sendall(out)
                        self.cutter.cut(mode)
                        return
                    if mode == "reply":
                        self.cut_after = self.syncs
                out += message
            if out:
                self.server.sendall(out)

    def replies(self):
        messages, started = Messages(startup=False), False
        while data := self.server.recv(1 << 16):
            while data and self.unanswered and not started:
                self.unanswered.popleft()
                self.client.sendall(data[:1])
                data = data[1:]
            out = b""
            for kind, message in messages.feed(data):
                if kind == b"Z":
                    self.answers += started
                    started = True
                    if self.cut_after and self.answers >= self.cut_after:
                        self.cutter.cut("reply")
                        return
                out += message
            if out:
                self.client.sendall(out)


class Cutter:
    """Listens on 127.0.0.1:port and forwards to the server's port."""

    def __init__(self, server_port):
        self.server_port = server_port
        self.cuts = collections.Counter()
        self.armed = collections.deque()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, name="cutter", daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Link(self, client, server).run()

    def arm(self, *modes):
        with self.lock:
            self.armed.extend(modes)

    def disarm(self):
        with self.lock:
            self.armed.clear()

    def take(self):
        with self.lock:
            return self.armed.popleft() if self.armed else None

    def cut(self, mode):
        with self.lock:
            self.cuts[mode] += 1

    def close(self):
        self.listener.close()
