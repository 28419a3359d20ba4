"""Our validator against the official cases of draft 2020-12, and against an independent validator
on messages made from our own contracts (Q-02, Q-08)."""
import collections
import copy
import ipaddress
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tarfile

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"])
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "drawbridge"

# Whole files that ask for what our contracts do not use, with the reason.
SKIPPED_FILES = {
    "anchor.json": "$anchor",
    "content.json": "contentMediaType, contentEncoding",
    "dependentSchemas.json": "dependentSchemas",
    "dynamicRef.json": "$dynamicRef",
    "format.json": "format is asserted by us; its cases are in optional/format",
    "refRemote.json": "references to other documents",
    "unevaluatedItems.json": "unevaluatedItems",
    "unevaluatedProperties.json": "unevaluatedProperties",
    "vocabulary.json": "other dialects",
    "optional/anchor.json": "$anchor",
    "optional/bignum.json": "integers beyond 64 bits are refused as JSON",
    "optional/cross-draft.json": "references to other documents",
    "optional/dependencies-compatibility.json": "dependencies",
    "optional/dynamicRef.json": "$dynamicRef",
    "optional/format-assertion.json": "other dialects",
    "optional/format/idn-email.json": "format idn-email",
    "optional/format/idn-hostname.json": "format idn-hostname",
    "optional/format/iri-reference.json": "format iri-reference",
    "optional/format/iri.json": "format iri",
    "optional/format/relative-json-pointer.json": "format relative-json-pointer",
    "optional/format/unknown.json": "unknown formats do not compile",
    "optional/format/uri-template.json": "format uri-template",
    "optional/id.json": "$id inside a document",
    "optional/refOfUnknownKeyword.json": "unknown keywords do not compile",
    "optional/unknownKeyword.json": "unknown keywords do not compile",
}
# Single groups of other files; each must really be refused, else it is taken off this list.
SKIPPED_GROUPS = {
    "additionalProperties.json": {"dependentSchemas with additionalProperties": "dependentSchemas"},
    "const.json": {"nul characters in strings": "NUL is refused as JSON"},
    "enum.json": {"nul characters in strings": "NUL is refused as JSON"},
    "defs.json": {"validate definition against metaschema": "references to other documents"},
    "not.json": {
        "collect annotations inside a 'not', even if collection is disabled": "unevaluatedProperties"
    },
    "ref.json": {
        "remote ref, containing refs itself": "references to other documents",
        "Recursive references between schemas": "$id inside a document",
        "ref creates new scope when adjacent to keywords": "unevaluatedProperties",
        "refs with relative uris and defs": "$id inside a document",
        "relative refs with absolute uris and defs": "$id inside a document",
        "$id must be resolved against nearest parent, not just immediate parent":
            "$id inside a document",
        "order of evaluation: $id and $ref": "$id inside a document",
        "order of evaluation: $id and $anchor and $ref": "$id inside a document",
        "URN base URI with URN and anchor ref": "$anchor",
        "URN ref with nested pointer ref": "$id inside a document",
        "ref to if": "$id inside a document",
        "ref to then": "$id inside a document",
        "ref to else": "$id inside a document",
        "ref with absolute-path-reference": "$id inside a document",
    },
}


class Validator:
    """The C validator behind a pipe."""

    def __init__(self):
        self.process = subprocess.Popen(
            [BUILD / "tools/schema_check"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "differ" not in answer.get("input_error", ""), answer
        return answer

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0


@pytest.fixture
def validator():
    v = Validator()
    yield v
    v.close()


@pytest.fixture(scope="session")
def official_cases():
    """The folder draft2020-12 of the pinned source package, from the cache or the registry."""
    pin = (ROOT / "tests/official-cases.txt").read_text()
    version = re.search(r"jsonschema==(\S+)", pin)[1]
    home = CACHE / "official-cases"
    archive = home / f"jsonschema-{version}.tar.gz"
    if not archive.exists():
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--no-binary=jsonschema", "--require-hashes", f"--dest={home}",
             f"--requirement={ROOT / 'tests/official-cases.txt'}"],
            check=True,
        )
    prefix = f"jsonschema-{version}/json/tests/draft2020-12/"
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.startswith(prefix) and member.name.endswith(".json"):
                files[member.name[len(prefix):]] = json.load(tar.extractfile(member))
    assert len(files) > 60, "the package does not hold the official cases"
    return files


def test_the_official_cases_of_the_supported_keywords_pass(validator, official_cases):
    """Q-02: every case, but for those that are listed with a reason above."""
    passed, wrong, skipped = 0, [], collections.Counter()
    assert set(SKIPPED_FILES) <= set(official_cases)
    for name, groups in sorted(official_cases.items()):
        if name in SKIPPED_FILES:
            skipped[SKIPPED_FILES[name]] += sum(len(g["tests"]) for g in groups)
            continue
        reasons = dict(SKIPPED_GROUPS.get(name, {}))
        for group in groups:
            reason = reasons.pop(group["description"], None)
            for case in group["tests"]:
                answer = validator.ask(schema=group["schema"], instance=case["data"])
                where = f"{name}: {group['description']}: {case['description']}"
                if reason and "valid" in answer:
                    wrong.append(f"{where}: listed as skipped, but it compiles")
                elif reason:
                    skipped[reason] += 1
                elif answer.get("valid") != case["valid"]:
                    wrong.append(f"{where}: {answer}")
                else:
                    passed += 1
        wrong += [f"{name}: no such group: {left}" for left in reasons]
    print(f"official cases: {passed} passed, {sum(skipped.values())} skipped:")
    for reason, count in skipped.most_common():
        print(f"  {count:4} {reason}")
    assert not wrong, "\n".join(wrong)
    assert passed >= 1100


# ---- agreement with an independent validator

formats = jsonschema.FormatChecker()


@formats.checks("cidr", raises=ValueError)
def is_cidr(value):
    if not isinstance(value, str):
        return True
    if not re.fullmatch(r"[^/%]+/(0|[1-9][0-9]{0,2})", value):
        return False
    ipaddress.ip_network(value, strict=True)
    return True


@formats.checks("wireguard-key")
def is_wireguard_key(value):
    if not isinstance(value, str):
        return True
    shape = re.fullmatch(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=", value)
    return bool(shape) and value != "A" * 43 + "="


@formats.checks("email")
def is_email(value):
    """Only the dotted form, which is all that the mutations below make."""
    if not isinstance(value, str):
        return True
    atom = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    return bool(re.fullmatch(rf"{atom}(\.{atom})*@{label}(\.{label})*", value)) and \
        value.index("@") <= 64 and len(value) - value.index("@") - 1 <= 253


VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 4, 1.0, 2.5, -0.5, 1440, 1441, 10000, 10001, 1023, 65535,
    65536, 2**63 - 1, "", "x", "ada", "A" * 128, "A" * 129, "\u00e4" * 200, "\U0001f432" * 201,
    "\u00e4" * 501, "wireguard", "simulated", "ok", "flaky-2", "slow-", "apikey", "user", "system",
    "192.0.2.0/24", "192.0.2.1/24", "::/0", "10.8.0.1", "fe80::1", "10.8.0.256", "not a time",
    "2026-11-20T10:15:00Z", "2026-02-29T10:15:00Z", "2026-11-20t10:15:00.123456+01:30",
    "0B6F3C1E-5D0A-4C55-9A38-1D2F7C1B9E10", "0b6f3c1e-5d0a-4c55-9a38-1d2f7c1b9e10",
    "ada@example.org", "ada@", "a.@example.org", [], {}, [1], ["x", "x"], [1, 1.0], {"kind": "user"},
    {"driver": "wireguard", "profile": "ok"}, {"driver": "simulated"}, [None], [[]],
    ["10.0.0.0/8"] * 2, [f"10.{i}.0.0/16" for i in range(65)], ["9.9.9.9", "::1", "x"],
    "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dh=",
]
LETTERS = "abzAZ09 .-_@/:%~!\"\\{}[]^$\u00e4\u2028\U0001f432"


def places_in(value, path=()):
    yield path
    children = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places_in(child, path + (key,))


def mutated(rng, message):
    """The message with one to three random changes."""
    message = copy.deepcopy(message)
    for _ in range(rng.randint(1, 3)):
        path = rng.choice([p for p in places_in(message) if p] or [None])
        if path is None:
            return rng.choice(VALUES)
        holder = message
        for key in path[:-1]:
            holder = holder[key]
        key, value = path[-1], holder[path[-1]]
        kind = rng.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice([key + "s", "extra", "", "a/b~c", "reason", "profile"])] = value
        elif kind == 2 and isinstance(value, str) and value:
            at = rng.randrange(len(value))
            holder[key] = value[:at] + rng.choice(LETTERS) + value[at + rng.randint(0, 1):]
        elif kind == 3 and isinstance(value, list) and value:
            value.append(copy.deepcopy(rng.choice(value)))
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return message


def pointer(path):
    return "".join("/" + str(k).replace("~", "~0").replace("/", "~1") for k in path)


def expected_places(error):
    """Where we would report what the other validator says."""
    path = list(error.absolute_path)
    if error.validator == "required":
        missing = [n for n in error.validator_value if n not in error.instance]
        return {pointer(path + [n]) for n in missing}
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        return {pointer(path + [n]) for n in error.instance if n not in known}
    return {pointer(path)}


def our_places(answer):
    places = set()
    for problem in answer["problems"]:
        place = problem["place"]
        if problem["message"].startswith("is the same as item"):
            place = place.rsplit("/", 1)[0]
        places.add(place)
    return places


CONTRACTS = sorted(
    str(p.relative_to(ROOT / "schemas").with_suffix("")) for p in (ROOT / "schemas").glob("*/*.json")
)


@pytest.mark.parametrize("name", CONTRACTS)
def test_our_verdicts_agree_with_an_independent_validator(validator, name):
    """Q-02, Q-08: examples and mutations of them; the verdict and every place of a problem. The
    seed is fixed and printed; DRAWBRIDGE_TEST_SEED gives another."""
    seed = os.environ.get("DRAWBRIDGE_TEST_SEED", "20261120")
    rng = random.Random(f"{seed}:{name}")
    print(f"seed {seed}")
    schema = json.loads((ROOT / f"schemas/{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    theirs = jsonschema.Draft202012Validator(schema, format_checker=formats)
    verdicts = collections.Counter()
    messages = schema["examples"] + [mutated(rng, rng.choice(schema["examples"])) for _ in range(400)]
    for message in messages:
        answer = validator.ask(name=name, instance=message)
        expected = set().union(*(expected_places(e) for e in theirs.iter_errors(message)))
        assert answer["valid"] == (not expected), (message, answer, expected)
        assert our_places(answer) == expected, (message, answer, expected)
        verdicts[answer["valid"]] += 1
    print(f"{verdicts[True]} valid, {verdicts[False]} invalid")
    assert verdicts[True] >= 5 and verdicts[False] >= 100


def test_what_python_would_let_pass_is_refused(validator):
    """Q-02: in Python's dialect $ also matches before a last line break; not in ECMA-262."""
    user = {"userId": "ada\n", "requestedBy": {"kind": "admin", "id": "x"}}
    answer = validator.ask(name="commands/user.put", instance=user)
    assert [p["place"] for p in answer["problems"]] == ["/userId"]
