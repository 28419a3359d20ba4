"""The systemd units as `make install` puts them (HAZARDS S16, P-10)."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKERS = ("provisioning", "teardown", "refresh", "audit", "gateway")
WITHOUT_CAPABILITIES = ("audit", "gateway")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("installed")
    # The variant of the build comes with MAKEFLAGS when make runs these tests.
    subprocess.run(["make", "-C", ROOT, f"PREFIX={prefix}", "install"], check=True, capture_output=True, text=True)
    return prefix


def analyze(installed, *words):
    units = f"{installed}/lib/systemd/system:"
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True,
                          env={**os.environ, "SYSTEMD_UNIT_PATH": units})


@pytest.mark.parametrize("worker", WORKERS)
def test_systemd_finds_nothing_wrong_with_the_unit(installed, worker):
    done = analyze(installed, "verify", f"{installed}/lib/systemd/system/drawbridge-{worker}.service")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("worker", WORKERS)
def test_the_sandbox_leaves_little_exposed(installed, worker):
    """S16: 0 is closed, 100 is open; a unit without a sandbox has more than 90."""
    done = analyze(installed, "security", "--offline=yes", "--no-pager", "--threshold=20",
                   f"{installed}/lib/systemd/system/drawbridge-{worker}.service")
    assert done.returncode == 0, done.stdout[-300:]


def test_only_workers_that_speak_to_wireguard_have_a_capability():
    """P-10: lines of the common file come after the unit's, so it must not name capabilities."""
    for worker in WORKERS:
        lines = (ROOT / f"ops/systemd/drawbridge-{worker}.service").read_text().splitlines()
        wanted = "CapabilityBoundingSet=" + ("" if worker in WITHOUT_CAPABILITIES else "CAP_NET_ADMIN")
        assert wanted in lines
        assert ("AmbientCapabilities=CAP_NET_ADMIN" in lines) == (worker not in WITHOUT_CAPABILITIES)
    common = (ROOT / "ops/systemd/drawbridge-.service.d/10-common.conf").read_text()
    assert "Capabilit" not in "\n".join(l for l in common.splitlines() if not l.startswith("#"))


def test_each_worker_has_a_user_of_its_own():
    """P-10."""
    users = (ROOT / "ops/systemd/sysusers/drawbridge.conf").read_text()
    for worker in WORKERS:
        assert f"User=drawbridge-{worker}" in (ROOT / f"ops/systemd/drawbridge-{worker}.service").read_text()
        assert f"u drawbridge-{worker} " in users
