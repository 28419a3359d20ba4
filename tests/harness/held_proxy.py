"""Between a client and PostgreSQL's socket: what the server says can be held back, and let go."""
import contextlib
import pathlib
import socket
import tempfile
import threading
import urllib.parse


class HeldProxy:
    """with HeldProxy(url) as proxy: proxy.url is for the client; hold() and release(), or cut()."""

    def __init__(self, url):
        self.parts = urllib.parse.urlsplit(url)
        self.query = dict(urllib.parse.parse_qsl(self.parts.query))
        self.name = ".s.PGSQL." + self.query["port"]
        self.open = threading.Event()
        self.open.set()
        self.sockets = []
        self.held = 0

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="held.")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(pathlib.Path(self.folder.name) / self.name))
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        query = urllib.parse.urlencode({**self.query, "host": self.folder.name})
        self.url = f"postgresql:///{self.parts.path.lstrip('/')}?{query}"
        return self

    def __exit__(self, *_):
        self.open.set()
        for s in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                s.close()
        self.folder.cleanup()

    def hold(self):
        self.held = 0
        self.open.clear()

    def waiting(self):
        """Whether something is being held back."""
        return self.held > 0

    def release(self):
        self.open.set()

    def cut(self):
        """Ends all connections; what was held back is lost."""
        sockets, self.sockets = self.sockets, []
        for s in sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
        self.open.set()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(pathlib.Path(self.query["host"]) / self.name))
                self.sockets += [client, server]
                threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source, sink, held):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if held and not self.open.is_set():
                    self.held += 1
                    self.open.wait()
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
