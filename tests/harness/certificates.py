"""A certificate authority of the test's own, by openssl's command line."""
import os
import pathlib
import ssl
import subprocess


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, stdin=subprocess.DEVNULL, capture_output=True)


class Authority:
    """Certificates for 127.0.0.1 and gateway.test, or for other names, in a directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.key, self.certificate = self.directory / "ca.key", self.directory / "ca.pem"
        self.made = 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 3650,
                "-subj", "/CN=An authority", "-keyout", self.key, "-out", self.certificate)

    def issue(self, days=3000, names="IP:127.0.0.1,DNS:gateway.test"):
        """(certificate, key, serial number): new files, PEM."""
        self.made += 1
        base = self.directory / f"made-{self.made}"
        cert, key, request, extensions = (base.with_suffix(s) for s in (".pem", ".key", ".csr", ".extensions"))
        extensions.write_text(f"subjectAltName={names}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=gateway.test",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-days", days,
                "-set_serial", 1000 + self.made, "-extfile", extensions, "-out", cert)
        key.chmod(0o600)
        return cert, key, 1000 + self.made

    def context(self):
        """A client's, which trusts nobody else."""
        return ssl.create_default_context(cafile=str(self.certificate))


def put(source, target):
    """The file appears whole under its name, as a new one."""
    new = target.with_suffix(".new")
    new.write_bytes(source.read_bytes() if isinstance(source, pathlib.Path) else source)
    new.chmod(0o600)
    os.replace(new, target)
