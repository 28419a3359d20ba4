"""A tester of OpenAPI contracts that knows nothing of us looks for what we do not keep (T-11)."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

from harness.caller import Caller, token_of

TESTS = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.limit(300)
def test_a_contract_tester_finds_nothing(stack, user, tmp_path):
    """T-11: schemathesis, signed in, bounded; the same cases each time."""
    stack.start("gateway-contract", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_RATE_TOKEN": "100000", "DRAWBRIDGE_GATEWAY_RATE_ADDRESS": "100000",
        "DRAWBRIDGE_GATEWAY_RATE_FAILURES": "100000", "DRAWBRIDGE_GATEWAY_START_WAIT": "2s"})
    owner = user()
    try:
        done = subprocess.run(
            [pathlib.Path(sys.executable).parent / "schemathesis", "--config-file", TESTS / "schemathesis.toml",
             "run", stack.gateway_url("gateway-contract") + "/openapi.json",
             "-H", "Authorization: Bearer " + token_of(stack, owner, "admin"),
             "--exclude-path", "/api/audit/stream",  # has no end
             "--generation-deterministic", "--max-examples", "15", "--request-timeout", "30",
             "--suppress-health-check", "all"],
            cwd=tmp_path, env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_formats"}, capture_output=True, text=True, timeout=280)
        print(done.stdout[-6000:])
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert re.search(r"\b[1-9][0-9]* generated", done.stdout), done.stdout[-6000:]
    finally:
        leave_no_connection(stack, stack.gateway_url("gateway-contract"), owner)
        stack.stop("gateway-contract")


def leave_no_connection(stack, url, owner):
    admin = Caller(url, token_of(stack, "ops-" + owner, "admin"))
    for row in stack.sql("SELECT org, name FROM connection WHERE created_by = %s AND deleted_at IS NULL", owner):
        status, answer, _ = admin("DELETE", f"/api/oauth/connections/{row['name']}?org={row['org']}&confirm_disable_workflows=true")
        assert status == 200, answer
