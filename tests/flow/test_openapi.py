"""The HTTP surface is described as it is (T-11)."""
import json
import os
import pathlib
import re
import subprocess

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"]) / "bin/drawbridge-gateway"


def printed():
    return subprocess.run([PROGRAM, "--openapi"], check=True, capture_output=True, text=True).stdout


def test_the_published_document_is_what_the_gateway_serves():
    """T-11: drawbridge-gateway --openapi > ops/docs/openapi.json"""
    assert (ROOT / "ops/docs/openapi.json").read_text() == printed()


def test_every_route_is_in_it_with_its_scope_and_every_reference_leads_somewhere():
    """T-06, T-11"""
    text = printed()
    document = json.loads(text)
    rows = re.findall(r'^ROUTE\((\w+), (\w+), "([^"]+)", "([^"]+)"',
                      (ROOT / "workers/gateway/routes.def").read_text(), re.MULTILINE)
    assert len(rows) >= 9
    for name, method, path, scope in rows:
        operation = document["paths"][path][method.lower()]
        assert (operation["operationId"], operation["x-drawbridge-scope"]) == (name, scope)
        assert ("security" in operation) == (scope == "public")
        assert "400" in operation["responses"] and ("401" in operation["responses"]) == (scope != "public")
    for ref in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        jsonschema.Draft202012Validator.check_schema(document["components"]["schemas"][ref])
