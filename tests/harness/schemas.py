"""The contracts in schemas/, validated by Python's jsonschema: an implementation that is not ours."""
import base64
import binascii
import functools
import ipaddress
import json
import pathlib

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
FORMATS = jsonschema.FormatChecker()


@FORMATS.checks("cidr", raises=ValueError)
def _cidr(value):
    return not isinstance(value, str) or ("/" in value and bool(ipaddress.ip_network(value)))


@FORMATS.checks("wireguard-key", raises=(ValueError, binascii.Error))
def _wireguard_key(value):
    return not isinstance(value, str) or (
        len(value) == 44 and len(base64.b64decode(value, validate=True)) == 32)


@functools.cache
def validator(name):
    """Of "events/session.active" or "commands/user.put"; None when there is no such file."""
    path = ROOT / "schemas" / f"{name}.json"
    if not path.exists():
        return None
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


def problems_of(name, data):
    v = validator(name)
    if v is None:
        return [f"no schema {name}"]
    return [f"/{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in v.iter_errors(data)]


def problems_of_event(event):
    if not (event.type or "").startswith("drawbridge."):
        return [f"not a type of ours: {event}"]
    try:
        data = event.data
    except ValueError as e:
        return [f"not JSON ({e}): {event}"]
    return [f"{p} in {event}" for p in problems_of(f"events/{event.kind}", data)]


def topics():
    return json.loads((ROOT / "schemas" / "topics.json").read_text())


def operational_events():
    return json.loads((ROOT / "schemas" / "operational-events.json").read_text())
