"""Secrets that a test knows, and where they must not be: everything that a stack writes or shows is put into
one folder and searched for them, as text, hex and base64."""
import base64
import contextlib
import ctypes
import ctypes.util
import hashlib
import os
import pathlib
import subprocess

from . import client as kafka

PLACES = ("logs", "topics", "tables", "metrics", "processes", "memory")


def unsealed(master, place, sealed):
    """The plain bytes of a sealed value, opened by libsodium alone (the layout is in workers/core/seal.h)."""
    key_id, sealed = sealed[1:5], sealed[5:]
    assert hashlib.blake2b(master, digest_size=32).digest()[:4] == key_id
    data_key = _open(master, place, sealed[:24], sealed[24:72])
    return _open(data_key, place, sealed[72:96], sealed[96:])


def _open(key, place, nonce, cipher):
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
    plain, size = ctypes.create_string_buffer(len(cipher)), ctypes.c_ulonglong()
    done = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        plain, ctypes.byref(size), None, cipher, ctypes.c_ulonglong(len(cipher)), place.encode(),
        ctypes.c_ulonglong(len(place)), nonce, key)
    assert done == 0, f"{place} does not open"
    return plain.raw[:size.value]


class Planted:
    """What to look for: name -> the forms it could have."""

    def __init__(self):
        self.forms = {}

    def text(self, name, value):
        """A secret that is a text."""
        raw = value.encode()
        self.forms[name] = {raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")}
        return value

    def token(self, name, value):
        """An access token: the middle of its secret, so that a part of it is found too."""
        assert value.startswith("dbr_pat_") and len(value) == 79
        self.text(name, value[38:62])
        return value

    def key(self, name, raw):
        """32 bytes."""
        assert len(raw) == 32
        self.forms[name] = {raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="),
                            base64.urlsafe_b64encode(raw).rstrip(b"=")}

    def found(self, folder):
        """{(name, place)} of what is in these files."""
        names = {}
        for name, forms in self.forms.items():
            names |= {form: name for form in forms if b"\n" not in form and b"\0" not in form}
        patterns = folder / "patterns"
        patterns.write_bytes(b"\n".join(names) + b"\n")
        places = [str(p) for p in folder.iterdir() if p.is_dir()]
        out = subprocess.run(["grep", "-r", "-a", "-o", "-Z", "-F", "-f", str(patterns), *places],
                             capture_output=True, env={**os.environ, "LC_ALL": "C"}).stdout
        patterns.unlink()
        hits = set()
        for line in out.splitlines():
            file, _, form = line.partition(b"\0")
            hits.add((names[form], str(pathlib.Path(file.decode()).relative_to(folder))))
        return hits | self._raw(folder)

    def _raw(self, folder):
        """Bytes with line ends in them, which grep cannot look for."""
        odd = [(name, f) for name, forms in self.forms.items() for f in forms if b"\n" in f or b"\0" in f]
        hits = set()
        for path in (p for p in folder.rglob("*") if odd and p.is_file()):
            data = path.read_bytes()
            hits |= {(name, str(path.relative_to(folder))) for name, form in odd if form in data}
        return hits


# ---- what there is


def collect(stack, folder, since, processes):
    """Everything the stack has written and shows; since: {topic: {partition: offset}}."""
    for place in PLACES:
        (folder / place).mkdir()
    for log in (stack.run / "log").iterdir():
        (folder / "logs" / log.name).write_bytes(log.read_bytes())
    for topic, start in since.items():
        with (folder / "topics" / topic).open("wb") as out:
            for record in kafka.read_all(stack.brokers, topic, start):
                out.write(b"\n".join([record.key or b"", record.value or b"",
                                      *(v or b"" for _, v in record.raw_headers), b""]))
    tables(stack, folder / "tables")
    for name, worker in processes.items():
        (folder / "metrics" / name).write_text(str(worker.metrics()))
        shown(worker.pid, folder / "processes", name)
        memory(worker.pid, folder / "memory" / name)


def tables(stack, folder):
    import psycopg

    with psycopg.connect(stack.database_url, autocommit=True) as db:
        names = [r[0] for r in db.execute("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
                                          " AND relnamespace = 'public'::regnamespace")]
        for name in names:
            with (folder / name).open("wb") as out, db.cursor().copy(f'COPY (SELECT * FROM "{name}") TO STDOUT') as rows:
                for data in rows:
                    out.write(data)


def shown(pid, folder, name):
    """The command line of a process, and its environment where the kernel shows it."""
    for what in ("cmdline", "environ"):
        with contextlib.suppress(*([PermissionError] if what == "environ" else [])):
            (folder / f"{name}.{what}").write_bytes(pathlib.Path(f"/proc/{pid}/{what}").read_bytes())


def memory(pid, path):
    """What a core dump would hold that somebody with all rights enforced: all that can be written to, but the pages
    that are kept out of dumps (VmFlags dd). Where the kernel lets nobody look, there is nothing."""
    path.touch()
    try:
        areas, mem = dumpable(pid), open(f"/proc/{pid}/mem", "rb", 0)
    except PermissionError:
        return
    with path.open("wb") as out, mem:
        for first, last in areas:
            mem.seek(first)
            while first < last:
                try:
                    data = mem.read(min(last - first, 1 << 20))
                except OSError:  # a page that nobody may read, guards for example
                    break
                if not data:
                    break
                out.write(data)
                first += len(data)


def dumpable(pid):
    """(first, last) of the areas that a core dump has."""
    areas, span = [], None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            first, last = (int(x, 16) for x in words[0].split("-"))
            span = (first, last) if "w" in words[1] and "[v" not in line else None
        elif words[0] == "VmFlags:" and span and "dd" not in words[1:]:
            areas.append(span)
    return areas


def topic_ends(stack):
    """{topic: {partition: offset}} of all topics as they are now."""
    reader = kafka.consumer(stack.brokers)
    try:
        topics = [t for t in reader.list_topics(timeout=20).topics if t.startswith("drawbridge.")]
        return {t: {n: kafka.watermarks(reader, t, n)[1] for n in kafka.partitions_of(reader, t)} for t in topics}
    finally:
        reader.close()
