"""Connections and workflows from the command line, with a provider that keeps a ledger (O-01 … O-03, O-10 … O-14)."""
import hashlib
import json
import os
import pty
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from harness.client import new_id
from harness.connections import Connections
from harness.provider import Provider
from harness.wait import until

SECRET = "open sesame " + "x" * 8


@pytest.fixture
def provider():
    with Provider(rotation="strict") as one:
        yield one


@pytest.fixture
def connections(stack, client, provider):
    """Deleted while the provider is there, which is asked to revoke."""
    all = Connections(stack, client)
    yield all
    all.close()


@pytest.fixture
def cli(stack):
    def run(*words, code=0, **more):
        done = stack.cli(*map(str, words), **more)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done
    return run


def told(done):
    return json.loads(done.stdout)


def made(connections, provider, cli, *words, flow="client_credentials", client=None, **more):
    """The id of a connection that the command line makes; its secret comes by standard input."""
    id, client = "acme/c-" + new_id()[:13], client or "client-" + new_id()[:8]
    provider.client(client, SECRET)
    event = told(cli("connection", "create", id, "--flow", flow, "--provider", "local_none", "--client-id", client,
                     "--token-url", provider.url + "/token", "--client-secret-file", "-", *words, "--json",
                     input=SECRET + "\n", **more))
    connections.made.append(id)
    assert event["outcome"] == "done" and event["type"] == "drawbridge.connection.changed"
    assert SECRET not in json.dumps(event)
    return id


def made_for_a_person(connections, provider, cli):
    return made(connections, provider, cli, "--authorization-url", provider.url + "/authorize", "--redirect-uri",
                "https://us.test/api/oauth/callback/x", "--scope", "read", "--scope", "write", flow="authorization_code")


# ---- without a person

def test_a_connection_is_made_looked_at_renewed_tested_and_deleted(connections, provider, cli):
    """O-01 O-02: what is shown says what its state means, and holds no secret."""
    id = made(connections, provider, cli, "--scope", "read", "--scope", "write")
    connections.completed(id)
    row = told(cli("connection", "show", id, "--json"))
    assert row["connection_id"] == id and row["status"] == "completed" and row["scopes"] == "read write"
    assert row["workflows"] == [] and row["meaning"]
    people = cli("connection", "show", id)
    assert "completed" in people.stdout and "renews itself" in people.stdout
    assert SECRET not in json.dumps(row) + people.stdout and connections.token(id) not in json.dumps(row)
    assert told(cli("connection", "refresh", id, "--json"))["data"]["generation"] == 2
    assert "done" in cli("connection", "test", id).stdout
    name = id.split("/")[1]
    assert told(cli("connection", "show", name, "--org", "acme", "--json"))["connection_id"] == id
    assert id in [c["connection_id"] for c in told(cli("connection", "list", "--org", "acme", "--limit", 1000, "--json"))["connections"]]
    cli("connection", "delete", id, "--reason", "over")
    assert "no connection" in cli("connection", "show", id, code=4).stderr
    cli("connection", "refresh", id, code=1)


def test_pages_of_connections_hold_each_once(connections, provider, cli):
    """O-02: by cursor."""
    org = "pages" + new_id()[:8]
    ids = {connections.make(provider, org=org) for _ in range(5)}
    seen, cursor = [], []
    while True:
        page = told(cli("connection", "list", "--org", org, "--limit", 2, *cursor, "--json"))
        seen += [c["connection_id"] for c in page["connections"]]
        if not page["cursor"]:
            break
        cursor = ["--cursor", page["cursor"]]
    assert len(seen) == 5 and set(seen) == ids


def test_a_connection_that_has_failed_says_what_to_do(connections, provider, cli):
    """O-01: the provider does not take the secret; an update with the right one, from a file of its owner's, mends it."""
    client = "client-" + new_id()[:8]
    id = made(connections, provider, cli, client=client)
    connections.completed(id)
    provider.client(client, "another one")
    done = cli("connection", "refresh", id, code=1)
    shown = cli("connection", "show", id)
    assert f"connection update {id}" in shown.stdout, (done, shown)
    cli("connection", "update", id, "--client-secret-file", "-", input="another one")
    connections.completed(id, 2)
    assert f"connection update {id}" not in cli("connection", "show", id).stdout
    assert SECRET not in shown.stdout + done.stdout + done.stderr


def test_a_url_inside_is_refused(connections, provider, cli):
    """O-01: as the gateway does; what there is stays as it was."""
    id = made(connections, provider, cli)
    before = connections.completed(id)
    words = ("connection", "create", id + "x", "--flow", "client_credentials", "--client-id", "us", "--client-secret-file", "-")
    for done in (cli(*words, "--token-url", "https://192.168.0.1/token", code=1, input=SECRET),
                 cli("connection", "update", id, "--issuer", "https://[::1]/", code=1)):
        assert "no address that may be called" in done.stdout + done.stderr, done
    assert connections.row(id)["revision"] == before["revision"]
    cli("connection", "show", id + "x", code=4)


def test_secrets_come_from_private_files_or_standard_input_once(connections, provider, cli, tmp_path):
    """O-01: a file that others can read is refused, and no secret is an argument."""
    id = made(connections, provider, cli)
    connections.completed(id)
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o644)
    assert "0600" in cli("connection", "update", id, "--client-secret-file", path, code=3).stderr
    path.chmod(0o600)
    before = connections.row(id)["config_version"]
    cli("connection", "update", id, "--client-secret-file", path)
    assert connections.row(id)["config_version"] == before + 1
    connections.completed(id, 2)
    for words in (("--client-secret-file", "-", "--refresh-token-file", "-"), ("--ask-secret",)):
        cli("connection", "update", id, *words, code=2)
    cli("connection", "update", id, "--client-secret-file", "-", input="\n", code=3)
    help = cli("connection", "create", "--help").stdout
    assert "--client-secret " not in help and "--refresh-token " not in help


def test_a_terminal_is_asked_for_the_secret_and_does_not_show_it(connections, provider, stack):
    """O-01: without a file, where somebody is there."""
    id, client = "acme/c-" + new_id()[:13], "client-" + new_id()[:8]
    provider.client(client, SECRET)
    main, side = pty.openpty()
    process = subprocess.Popen(
        [stack.build / "bin/drawbridge", "connection", "create", id, "--flow", "client_credentials", "--provider", "local_none",
         "--client-id", client, "--token-url", provider.url + "/token"],
        env={**stack.environment("cli"), "NO_COLOR": "1"}, stdin=side, stdout=subprocess.PIPE, stderr=side)
    connections.made.append(id)
    try:
        seen = b""
        while b"client secret of" not in seen:
            seen += os.read(main, 1000)
        os.write(main, SECRET.encode() + b"\n")
        out, _ = process.communicate(timeout=60)
        os.set_blocking(main, False)
        seen += os.read(main, 10000)
    finally:
        process.kill()
        os.close(side)
        os.close(main)
    assert process.returncode == 0 and SECRET.encode() not in seen + out, seen + out
    connections.completed(id)


def test_what_a_provider_needs_is_said_before_anything_is_sent(cli):
    """O-06: URLs are filled in where they are known, else it is said what is missing."""
    providers = {p["id"]: p for p in told(cli("connection", "providers", "--json"))["providers"]}
    assert providers["github"]["token_url"] == "https://github.com/login/oauth/access_token"
    assert providers["okta"]["needs"] == "--domain" and providers["microsoft"]["needs"] == "--tenant"
    assert "github.com" in cli("connection", "providers").stdout
    for words, why in (
            (("--provider", "okta", "--client-id", "x"), "--domain"),
            (("--provider", "okta", "--domain", "a/b", "--client-id", "x"), "--domain"),
            (("--provider", "github", "--client-id", "x"), "--redirect-uri"),
            (("--provider", "nobody", "--client-id", "x"), "nobody"),
            (("--flow", "client_credentials", "--client-id", "x"), "--provider"),
            (("--flow", "client_credentials", "--provider", "zoom"), "--client-id")):
        assert why in cli("connection", "create", "acme/x", *words, code=2).stderr
    for name in ("a/b/c", "/x", "a b", "-", ""):
        cli("connection", "show", "--", name, code=2)
    cli("connection", "show", "acme/x", "--org", "other", code=2)


# ---- with a person

def browse(url):
    """What a browser does: the query that the provider sends back with it."""
    class Stop(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        urllib.request.build_opener(Stop, urllib.request.HTTPSHandler(context=context)).open(url, timeout=30)
    except urllib.error.HTTPError as answer:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(answer.headers["Location"]).query))
    raise AssertionError("the provider sent nobody back")


def come_back(connections, id, back):
    """What the callback does, as a command."""
    digest = hashlib.sha256(back["state"].encode()).digest()
    state = str(connections.stack.one("SELECT id FROM oauth_state WHERE digest = %s", digest)["id"])
    what = ({"codeId": connections.secret(id, "code", back["code"])} if "code" in back else
            {"error": back["error"], "errorDescription": "no"})
    return connections.do("exchange", id, stateId=state, **what)


def followed(stack, id, *words):
    return subprocess.Popen([stack.build / "bin/drawbridge", "connection", "authorize", id, *words], text=True,
                            env={**stack.environment("cli"), "NO_COLOR": "1"}, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def line_with(process, text):
    for line in process.stdout:
        if text in line:
            return line.strip()
    raise AssertionError(f"no {text}: {process.stderr.read()}")


def test_a_person_authorizes_at_the_url_that_is_printed(connections, provider, stack, cli):
    """O-03 O-04: with PKCE and a state that is kept as a digest; --follow tells how it went."""
    id = made_for_a_person(connections, provider, cli)
    assert "connection authorize" in cli("connection", "show", id).stdout
    process = followed(stack, id, "--follow")
    try:
        url = line_with(process, "https://")
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        assert query["code_challenge_method"] == "S256" and len(query["state"]) == 43 and query["scope"] == "read write"
        row = connections.row(id)
        assert row["status"] == "waiting_callback"
        back = browse(url)
        assert back["state"] == query["state"]
        come_back(connections, id, back)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and "renews itself" in out, out + err
    assert provider.active(connections.token(id)) and connections.token(id, "refresh_token")
    assert query["state"] not in json.dumps(stack.sql("SELECT id::text, requester FROM oauth_state"))
    # A change is done, though the connection has to be authorized anew by it.
    changed = cli("connection", "update", id, "--client-secret-file", "-", input=SECRET).stdout
    assert f"connection authorize {id}" in changed and "the connection was changed" in changed, changed


def test_a_person_who_says_no_leaves_a_connection_that_says_so(connections, provider, stack, cli):
    """O-04: exit code 1, the reason, and what comes next."""
    id = made_for_a_person(connections, provider, cli)
    provider.denies = True
    process = followed(stack, id, "--follow", "--json")
    try:
        until(lambda: connections.row(id)["waiting_until"], 30, "an authorization under way")
        # The first document is the outcome of the command, with the URL.
        text = ""
        while "authorization_url" not in text:
            text += process.stdout.readline()
        url = json.loads(text.split('"authorization_url": ')[1].strip().rstrip(","))
        come_back(connections, id, browse(url))
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1 and '"denied"' in out, out + err


def test_a_device_shows_its_code_and_waits_for_the_person(connections, provider, stack, cli):
    """O-13: RFC 8628, without a browser that can reach the gateway."""
    id = made_for_a_person(connections, provider, cli)
    process = followed(stack, id, "--device")
    try:
        line = line_with(process, " and enter ")
        provider.approve(line.rsplit(" ", 1)[1])
        out, err = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 0 and "renews itself" in out, out + err
    assert provider.active(connections.token(id))


def test_a_connection_that_asks_nobody_is_authorized_by_nobody(connections, provider, cli):
    """O-03"""
    id = made(connections, provider, cli)
    assert "nobody authorizes it" in cli("connection", "authorize", id, code=2).stderr
    cli("connection", "authorize", "acme/" + new_id(), code=4)


# ---- workflows

def test_workflows_are_told_disabled_and_enabled(connections, provider, cli):
    """O-10 O-11 O-12: a connection in use is not deleted by mistake; what it takes along is told, and let run again."""
    id = made(connections, provider, cli)
    org = "w" + new_id()[:8]
    names = [f"{org}/nightly", f"{org}/weekly"]
    for name in names * 2:
        cli("workflow", "depend", name, id)
    assert told(cli("connection", "show", id, "--json"))["workflows"] == names
    assert told(cli("workflow", "show", names[0], "--json"))["connections"] == [id]
    cli("workflow", "check", names[0])
    refused = cli("connection", "delete", id, code=2)
    assert all(n in refused.stderr for n in names) and "--confirm-disable-workflows" in refused.stderr
    assert told(cli("workflow", "list", "--org", org, "--disabled", "--json"))["workflows"] == []
    deleted = cli("connection", "delete", id, "--confirm-disable-workflows", "--reason", "the account is closed")
    assert all(n in deleted.stdout for n in names)
    disabled = told(cli("workflow", "list", "--org", org, "--disabled", "--json"))["workflows"]
    assert [w["workflow_id"] for w in disabled] == names
    assert {w["reason"] for w in disabled} == {"the account is closed"} and {w["related_connection"] for w in disabled} == {id}
    shown = cli("workflow", "show", names[0]).stdout
    assert "the account is closed" in shown and f"workflow enable {names[0]}" in shown
    assert told(cli("workflow", "check", names[0], "--json", code=1))["data"]["reason"] == "the account is closed"
    refused = cli("workflow", "check", names[0], code=1).stdout
    assert "the account is closed" in refused and id in refused
    cli("workflow", "enable", names[0])
    cli("workflow", "check", names[0])
    page = told(cli("workflow", "list", "--org", org, "--limit", 1, "--json"))
    assert [w["workflow_id"] for w in page["workflows"]] == names[:1] and page["cursor"] == names[0]
    cli("workflow", "show", org + "/unknown", code=4)
    cli("workflow", "check", org + "/unknown", code=1)


# ---- credentials

@pytest.fixture(scope="module")
def gateway(stack):
    stack.start("gateway-cli", worker="gateway")
    yield stack.gateway_url("gateway-cli")
    stack.stop("gateway-cli")


@pytest.fixture
def key(gateway, cli, tmp_path):
    """The environment of a service that may ask for credentials."""
    path = tmp_path / "gateway.token"
    cli("token", "create", "svc-" + new_id()[:8], "job", "--scope", "credentials:read", "--output", path)
    return {"DRAWBRIDGE_GATEWAY_URL": gateway, "DRAWBRIDGE_TOKEN_FILE": str(path)}


def test_a_workflow_gets_a_live_token_in_every_form(connections, provider, cli, key):
    """O-07 O-14: printed, as a header, as a variable, in the environment of a command; also after a refresh."""
    id = made(connections, provider, cli)
    connections.completed(id)
    token = connections.token(id)
    assert cli("credentials", "get", id, env=key).stdout == token + "\n"
    name = id.split("/")[1]
    assert cli("credentials", "get", name, "--org", "acme", "--header", env=key).stdout == f"Authorization: Bearer {token}\n"
    line = cli("credentials", "get", id, "--env", "GH_TOKEN", env=key).stdout
    shell = subprocess.run(["sh", "-c", line + 'printf %s "$GH_TOKEN"'], capture_output=True, text=True, timeout=30)
    assert shell.stdout == token
    whole = told(cli("credentials", "get", id, "--json", env=key))
    assert whole["access_token"] == token and whole["token_type"] == "Bearer" and whole["expires_at"].endswith("Z")
    said = cli("credentials", "exec", id, "--env", "T", "--", "sh", "-c", 'printf %s "$T"; exit 7', code=7, env=key)
    assert said.stdout == token
    cli("connection", "refresh", id)
    until(lambda: cli("credentials", "get", id, env=key).stdout.strip() == connections.token(id) != token, 20,
          "the token that came with the refresh")


def test_a_credential_that_is_not_given_says_why(connections, provider, cli, key, tmp_path):
    """O-07 O-12 O-14: unknown, not ready, a disabled workflow, a token that may not; each with its exit code."""
    org = "w" + new_id()[:8]
    assert "connection" in cli("credentials", "get", "acme/" + new_id(), code=4, env=key).stderr
    waits = made_for_a_person(connections, provider, cli)
    refused = cli("credentials", "get", waits, code=1, env=key)
    assert "authorized" in refused.stderr and "again in" in refused.stderr and waits in refused.stderr
    begun = cli("credentials", "get", waits, "--wait", "1", "--json", code=1, env=key)
    assert told(begun)["error"]["code"] == "credential.refused"
    cli("credentials", "get", "a b", code=2, env=key)
    cli("credentials", "get", waits, "--env", "A-B", code=2, env=key)
    cli("credentials", "get", waits, code=2, env={**key, "DRAWBRIDGE_TOKEN_FILE": str(tmp_path / "none")})
    cli("credentials", "get", waits, code=5, env={**key, "DRAWBRIDGE_GATEWAY_URL": "http://127.0.0.1:1"})
    assert "https" in cli("credentials", "get", waits, code=2, env={**key, "DRAWBRIDGE_GATEWAY_URL": "http://gate.test"}).stderr
    wrong = tmp_path / "wrong"
    wrong.write_text("db_wrong")
    cli("credentials", "get", waits, code=7, env={**key, "DRAWBRIDGE_TOKEN_FILE": str(wrong)})

    # One that was used is depended upon; disabled, its workflow gets nothing more.
    used, other = (connections.make(provider, org=org) for _ in range(2))
    connections.completed(used), connections.completed(other)
    for id in (used, other):
        cli("credentials", "get", id, "--workflow", "nightly", env=key)
    until(lambda: told(cli("workflow", "show", f"{org}/nightly", "--json"))["connections"] == sorted([used, other]), 20,
          "two dependencies that were noted")
    cli("connection", "delete", used, "--confirm-disable-workflows", "--reason", "moved elsewhere")
    until(lambda: "moved elsewhere" in stack_refuses(cli, other, key), 20, "a refusal with the reason")


def stack_refuses(cli, id, key):
    """What a disabled workflow is told; "" while what was known before is still given, for a second at most."""
    try:
        return cli("credentials", "get", id, "--workflow", "nightly", code=1, env=key).stderr
    except AssertionError:
        return ""
