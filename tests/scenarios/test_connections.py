"""OAuth connections, from a command to the provider's ledger (O-01 … O-13)."""
import base64
import hashlib
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from harness.certificates import openssl
from harness.client import read_all
from harness.connections import Connections
from harness.provider import Provider
from harness.wait import stays, until


@pytest.fixture
def connections(stack, client, provider):  # deleted while it still is there
    all = Connections(stack, client)
    yield all
    all.close()


@pytest.fixture
def provider():
    with Provider(rotation="strict") as one:
        yield one


def asked(provider, grant, client=None):
    """The requests of this grant that reached the provider."""
    return [e for e in provider.ledger("asked", grant=grant) if client in (None, e["client"])]


def client_of(connections, id):
    return connections.row(id)["client_id"]


def family(provider, connections, id):
    return next(f for f in provider.families() if f["client"] == client_of(connections, id))


def test_client_credentials_get_their_token_by_themselves(connections, provider):
    """O-01 O-02: made, a token fetched, completed; and its access token is the provider's."""
    id = connections.make(provider, scopes="read write")
    row = connections.completed(id)
    assert provider.active(connections.token(id))
    assert row["generation"] == 1 and row["completed_at"] and row["renew_at"] < row["expires_at"]
    connections.has_said(id, "changed", "completed")
    connections.do("refresh", id)
    assert connections.row(id)["generation"] == 2
    assert provider.active(connections.token(id))
    assert connections.do("test", id).kind == "connection.tested"


def test_a_refresh_token_that_was_brought_is_rotated_and_what_comes_is_tested(connections, provider):
    """O-01 O-05 O-06: each rotation is saved, the old token is never sent twice, and the token is tried out before
    the connection is completed."""
    id = connections.make(provider, flow="refresh_token", row="local_strict")
    row = connections.completed(id)
    assert row["last_test_at"]
    connections.has_said(id, "changed", "testing", "completed")
    for generation in (2, 3):
        connections.do("refresh", id)
        assert connections.row(id)["generation"] == generation
        assert connections.token(id, "refresh_token") == family(provider, connections, id)["current"]
    sent = [e["token"] for e in asked(provider, "refresh_token")]
    assert len(sent) == len(set(sent)) == 3
    assert family(provider, connections, id)["state"] == "live"


def test_what_falls_due_is_renewed_by_itself_before_it_ends(connections, provider, stack):
    """O-08: a fifth of an hour before the end of an hour's token, and not earlier."""
    id = connections.make(provider, flow="refresh_token", row="local_strict")
    row = connections.completed(id)
    life = (row["expires_at"] - row["last_refresh_at"]).total_seconds()
    after = (row["renew_at"] - row["last_refresh_at"]).total_seconds()
    assert 3590 <= life <= 3600 and life * 0.8 <= after <= life * 0.85 + 1
    stack.clock_forward(int(life * 790))
    stays(lambda: connections.row(id)["generation"] == 1, 1.5, "not renewed")
    stack.clock_forward(int(life * 70))
    assert connections.completed(id, generation=2)["generation"] == 2
    assert provider.active(connections.token(id))


def test_many_who_ask_at_once_cause_one_refresh(connections, provider, client):
    """O-09: commands that want the same generation renewed: the first does it, the others are told that it is done."""
    id = connections.make(provider, flow="refresh_token", row="local_strict")
    connections.completed(id)
    with provider.misbehaving("slow", seconds=0.5, count=1):
        sent = [client.publish(connections.command("refresh", id, ifGeneration=1)) for _ in range(20)]
        client.flush()
        ends = client.outcomes(sent, 30).values()
    assert sorted(e.outcome for e in ends) == ["done"] + ["refused"] * 19
    assert {e.data["code"] for e in ends if e.outcome == "refused"} == {"connection.generation_moved"}
    assert len(asked(provider, "refresh_token")) == 2 and connections.row(id)["generation"] == 2


def test_a_grant_that_is_refused_fails_the_connection_and_no_other(connections, provider):
    """O-05 O-01: invalid_grant condemns the one it was asked for, in words that a person understands."""
    bad = connections.make(provider, flow="refresh_token", row="local_strict")
    good = connections.make(provider, flow="refresh_token", row="local_strict")
    connections.completed(bad), connections.completed(good)
    provider.misbehave("error", error="invalid_grant", description="this account is closed ({token})",
                       client=client_of(connections, bad))
    connections.do("refresh", bad)
    row = connections.is_now(bad, "failed", reason="refused")
    assert "this account is closed (***)" in row["message"] and row["refresh_token"] is None
    connections.do("refresh", good)
    assert connections.row(good)["status"] == "completed"
    assert connections.do("refresh", bad, "refused").data["code"] == "connection.no_token"


def test_a_server_that_fails_for_a_moment_is_asked_again(connections, provider):
    """O-05: 500 and 429 are tried again as the provider says, and nothing is lost."""
    id = connections.make(provider, flow="refresh_token", row="local_silent")
    connections.completed(id)
    provider.misbehave("status", code=500, count=1)
    provider.misbehave("status", code=429, retry_after=1, count=1)
    connections.do("refresh", id, timeout=30)
    assert connections.row(id)["generation"] == 2 and connections.row(id)["doubt_at"] is None
    assert family(provider, connections, id)["current"] == connections.token(id, "refresh_token")


def test_who_says_that_it_has_enough_costs_no_attempt(connections, provider, client, stack):
    """O-05 O-08: one more 429 than there are tries, and the command is done when there is room."""
    id = connections.make(provider, flow="refresh_token", row="local_silent")
    connections.completed(id)
    rule = provider.misbehave("status", code=429, retry_after=1, count=5)
    command = client.send(connections.command("refresh", id))

    def ended():
        stack.clock_forward(1000)
        return client.has_outcome(command)

    until(ended, 60, "renewed", every=0.3)
    assert client.outcome(command).outcome == "done" and rule["seen"] == 5
    assert connections.row(id)["generation"] == 2 and connections.row(id)["doubt_at"] is None


def test_what_fails_for_a_moment_too_often_is_a_dead_letter_and_serves_what_it_has(connections, provider, client, stack):
    """O-05 O-09: the first try and three more; then a person may look, the connection is completed as before, and is
    asked again by itself later."""
    id = connections.make(provider, flow="refresh_token", row="local_silent")
    connections.completed(id)
    rule = provider.misbehave("error", error="temporarily_unavailable")
    command = client.send(connections.command("refresh", id))

    def ended():
        stack.clock_forward(1000)
        return client.has_outcome(command)

    until(ended, 30, "given up", every=0.3)
    assert client.outcome(command).outcome == "dead" and rule["seen"] == 4
    row = connections.row(id)
    assert row["status"] == "completed" and row["generation"] == 1 and row["doubt_at"] is None
    assert "cannot just now" in row["message"] and provider.active(connections.token(id))
    provider.behave()
    stack.clock_forward(61_000)
    connections.completed(id, generation=2)
    assert connections.row(id)["message"] is None
    stack.sql("UPDATE dead_letter SET state = 'discarded' WHERE command_id = %s", command.id)


@pytest.mark.parametrize("auth", ["post", "none", "private_key_jwt"])
def test_a_client_says_who_it_is_as_the_connection_tells(connections, provider, stack, auth, tmp_path):
    """O-05: in the form, not at all (RFC 6749 §2.1), or by what its key has signed (RFC 7523)."""
    name, data, public = f"client-{auth}", {"clientAuth": auth}, None
    id = f"acme/{name}"
    if auth == "private_key_jwt":
        key = tmp_path / "key.pem"
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        openssl("pkey", "-in", key, "-pubout", "-out", tmp_path / "public.pem")
        public = (tmp_path / "public.pem").read_text()
        data["privateKeyId"] = connections.secret(id, "private_key", key.read_text())
    provider.grants.ahead = stack.now() - time.time()
    provider.client(name, "in the form" if auth == "post" else None, auth, public)
    connections.make(provider, name=name, client=name, secret="in the form", **data)
    connections.completed(id)
    assert provider.active(connections.token(id))


def test_an_answer_without_a_refresh_token_leaves_the_one_there_is(connections, provider):
    """O-08: RFC 6749 §6; a form, and numbers that are texts, are answers, too."""
    id = connections.make(provider, flow="refresh_token", row="local_silent")
    connections.completed(id)
    before = connections.token(id, "refresh_token")
    provider.misbehave("no_refresh_token", count=1)
    connections.do("refresh", id)
    assert connections.token(id, "refresh_token") == before
    provider.misbehave("form", count=1)
    connections.do("refresh", id)
    provider.misbehave("strings", count=1)
    connections.do("refresh", id)
    row = connections.row(id)
    assert row["generation"] == 4 and 3590 < (row["expires_at"] - row["last_refresh_at"]).total_seconds() <= 3600
    assert connections.token(id, "refresh_token") == family(provider, connections, id)["current"] != before


@pytest.mark.limit(120)
def test_a_provider_that_is_down_holds_its_own_and_lets_go_when_it_is_back(connections, provider, client, stack):
    """O-05: its breaker opens, its commands are held and pay no attempt, another provider's go on; back again, all
    are carried out."""
    other = connections.make(provider, flow="refresh_token", row="local_silent")
    with Provider(rotation="strict") as down:
        ids = [connections.make(down, flow="refresh_token", row="local_silent") for _ in range(6)]
        for id in [other, *ids]:
            connections.completed(id)
        port, grants = down.port, down.grants
    sent = [client.publish(connections.command("refresh", id)) for id in ids]
    client.flush()

    def held():
        return stack.value("SELECT count(*) FROM pending WHERE consumer = 'refresh' AND state = 'held'"
                           " AND held_by = %s", f"breaker:localhost:{port}")

    until(lambda: held() >= 5, 30, lambda: f"held: {held()}; {stack.sql('SELECT * FROM pending')}")
    assert stack.value("SELECT max(attempt) FROM pending WHERE consumer = 'refresh' AND state = 'held'") == 1
    connections.do("refresh", other)
    assert not any(client.has_outcome(c) for c in sent)
    with Provider(rotation="strict", port=port) as back:
        back.grants = grants
        assert {e.outcome for e in client.outcomes(sent, 60).values()} == {"done"}
        for id in ids:
            assert connections.row(id)["generation"] == 2
            assert family(back, connections, id)["state"] == "live"
            assert family(back, connections, id)["current"] == connections.token(id, "refresh_token")
        for id in ids:
            connections.do("delete", id)


@pytest.mark.limit(150)
def test_an_outage_costs_what_fell_due_by_itself_no_dead_letter_and_holds_up_no_change(connections, client, stack):
    """O-05 O-08 O-09 O-11: a renewal that a breaker holds past its deadline is refused, and due again; who comes
    meanwhile does not wait behind it; a deletion does without the provider and says so."""
    with Provider(rotation="strict") as down:
        id, doomed = (connections.make(down, flow="refresh_token", row="local_silent") for _ in range(2))
        row = [connections.completed(i) for i in (id, doomed)][0]
        port, grants = down.port, down.grants

    def held():
        return {r["subject"] for r in stack.sql("SELECT subject FROM pending WHERE consumer = 'refresh'"
                " AND state = 'held' AND held_by = %s", f"breaker:localhost:{port}")}

    def is_held():
        until(lambda: {f"connection/{id}", f"connection/{doomed}"} <= held(), 30,
              lambda: f"held: {stack.sql('SELECT * FROM pending')}")

    stack.clock_forward(int((row["expires_at"] - row["last_refresh_at"]).total_seconds() * 860))
    is_held()
    stack.clock_forward(601_000)
    until(lambda: all("refused" in connections.said(i) for i in (id, doomed)), 40,
          lambda: (connections.said(id), connections.said(doomed)))
    stack.clock_forward(61_000)
    is_held()
    person = client.send(connections.command("refresh", id))
    until(lambda: stack.sql("SELECT 1 FROM pending WHERE command_id = %s AND state = 'held'", person.id), 20,
          "in front of what let it by, and held as well")
    fit = {0: {"ifRevision": connections.row(id)["revision"]}}
    puts = [client.publish(connections.command("put", id, scopes=f"read {n}", **fit.get(n, {}))) for n in range(8)]
    client.flush()
    assert {e.outcome for e in client.outcomes(puts, 20).values()} == {"done"}
    assert connections.row(id)["scopes"] == "read 7"
    gone = connections.do("delete", doomed, timeout=8)
    assert gone.kind == "connection.deleted" and "not revoked" in gone.data["message"]
    assert not stack.sql("SELECT 1 FROM dead_letter WHERE subject IN (%s, %s)", f"connection/{id}",
                         f"connection/{doomed}")
    with Provider(rotation="strict", port=port) as back:
        back.grants = grants
        assert connections.completed(id, generation=2, timeout=60)["doubt_at"] is None
        assert family(back, connections, id)["state"] == "live"
        connections.do("delete", id)
    assert connections.said(id).count("command.held") < 20, "they go on changing places"


# ---- a person ---------------------------------------------------------------------------------------------------

REDIRECT, VERIFIER = "https://us.test/callback", "v" * 43


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def callback(provider, client):
    """What the provider sends a person's browser back with."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    query = urllib.parse.urlencode({
        "response_type": "code", "client_id": client, "redirect_uri": REDIRECT, "state": "s",
        "code_challenge": challenge, "code_challenge_method": "S256"})
    opener = urllib.request.build_opener(
        Stay, urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=provider.ca)))
    try:
        opener.open(f"{provider.url}/authorize?{query}")
    except urllib.error.HTTPError as e:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(e.headers["Location"]).query))
    raise AssertionError("the provider did not send anybody back")


def authorized(connections, provider, id):
    """As far as the callback: (state's row, what came back)."""
    connections.do("authorize", id, until=connections.until_text())
    assert connections.row(id)["status"] in ("waiting_callback", "completed")
    return connections.state(id, VERIFIER, REDIRECT), callback(provider, client_of(connections, id))


def test_a_person_authorizes_it_and_the_code_becomes_tokens_once(connections, provider):
    """O-03 O-04: state, PKCE and redirect URI are what the authorization began with; a state is used once."""
    id = connections.make(provider, flow="authorization_code", row="local_strict")
    state, back = authorized(connections, provider, id)
    code = connections.secret(id, "code", back["code"])
    connections.do("exchange", id, stateId=state, codeId=code)
    assert provider.active(connections.token(id))
    connections.has_said(id, "changed", "waiting", "testing", "completed")
    again = connections.do("exchange", id, "refused", stateId=state,
                           codeId=connections.secret(id, "code", back["code"]))
    assert again.data["code"] == "connection.state_unknown"
    assert len(asked(provider, "authorization_code")) == 1
    connections.do("refresh", id)
    assert connections.row(id)["generation"] == 2


def test_a_person_who_says_no_leaves_it_failed_and_what_there_was_goes_on(connections, provider):
    """O-04 O-01: access_denied; a connection that was completed keeps its tokens."""
    id = connections.make(provider, flow="authorization_code", row="local_strict")
    state, back = authorized(connections, provider, id)
    connections.do("exchange", id, stateId=state, codeId=connections.secret(id, "code", back["code"]))
    provider.denies = True
    state, back = authorized(connections, provider, id)
    assert back["error"] == "access_denied"
    connections.do("exchange", id, stateId=state, error=back["error"], errorDescription=back["error_description"])
    row = connections.is_now(id, "completed", generation=1)
    assert "said no" in row["message"] and provider.active(connections.token(id))


def test_a_person_at_another_device_enters_the_code(connections, provider):
    """O-13: the connection shows the code, is asked about until the person is done, and then has tokens."""
    id = connections.make(provider, flow="authorization_code", row="local_strict")
    command = connections.command("authorize", id, until=connections.until_text(), device=True)
    connections.client.send(command)
    row = connections.is_now(id, "waiting_callback")
    assert row["user_code"] and row["verification_uri"] == provider.url + "/activate"
    provider.approve(row["user_code"])
    connections.stack.clock_forward(int(row["poll_every_ms"]) + 1000)
    assert connections.client.outcome(command, 30).outcome == "done"
    row = connections.completed(id)
    assert row["user_code"] is None and row["device_code"] is None and provider.active(connections.token(id))


def test_who_waits_for_a_person_at_another_device_holds_up_nobody(connections, provider):
    """O-13 O-02 O-11: a change and a test have their turn at once and the code stays good; so has the end, and then
    there is nothing to wait for."""
    id = connections.make(provider, flow="authorization_code", row="local_strict")
    one, two = (connections.command("authorize", id, until=connections.until_text(), device=True) for _ in range(2))
    for command in (one, two):
        connections.client.send(command)
        row = connections.is_now(id, "completed" if command is two else "waiting_callback")
        until(lambda: connections.row(id)["user_code"], 20, "a code")
        code = connections.row(id)["user_code"]
        connections.do("put", id, scopes="read more" if command is one else "read", timeout=8)
        assert connections.row(id)["user_code"] == code and not connections.client.has_outcome(command)
        if command is one:
            provider.approve(code)
            connections.stack.clock_forward(int(row["poll_every_ms"]) + 1000)
            assert connections.client.outcome(command, 30).outcome == "done"
            connections.completed(id)
    connections.do("test", id, timeout=8)
    connections.do("delete", id, timeout=8)
    connections.stack.clock_forward(11_000)
    refused = connections.client.outcome(two, 30)
    assert (refused.outcome, refused.data["code"]) == ("refused", "connection.unknown")


# ---- its end, and its URLs --------------------------------------------------------------------------------------

def test_a_deletion_gives_the_tokens_back_and_disables_the_workflows(connections, provider):
    """O-11 O-10 O-12: refused while somebody depends on it; confirmed, the provider revokes, tokens and secrets are
    gone, and the workflow is disabled, in one commit."""
    id = connections.make(provider, flow="refresh_token", row="local_strict")
    connections.completed(id)
    flow = "acme/sync-" + id[-8:]
    connections.client.do(connections.command("depend", flow, "workflow", connectionId=id))
    refused = connections.do("delete", id, "refused")
    assert refused.data["code"] == "connection.has_dependants" and flow in str(refused.data)
    access = connections.token(id)
    connections.do("delete", id, confirmDisableWorkflows=True, reason="the account is closed")
    row = connections.row(id)
    assert row["deleted_at"] and not row["access_token"] and not row["refresh_token"]
    assert not connections.stack.sql("SELECT 1 FROM connection_secret WHERE connection = %s", id)
    assert not provider.active(access)
    ended = next(f for f in provider.families() if f["client"] == row["client_id"])
    assert ended["why"] == "revoked"
    disabled = connections.stack.one("SELECT * FROM workflow WHERE id = %s", flow)
    assert disabled["disabled"] and disabled["related_connection"] == id
    checked = connections.client.do(connections.command("check", flow, "workflow"), "refused")
    assert checked.data["code"] == "workflow.disabled"
    connections.client.do(connections.command("enable", flow, "workflow"))
    connections.client.do(connections.command("check", flow, "workflow"))


def test_a_token_url_of_another_server_is_not_shown_the_secret(connections, provider):
    """O-02: its own secret has to come with it; then the new server gets that one."""
    with Provider(rotation="strict") as other:
        id = connections.make(provider)
        connections.completed(id)
        refused = connections.do("put", id, "refused", tokenUrl=other.url + "/token")
        assert refused.data["code"] == "connection.secret_again"
        other.client(client_of(connections, id), "another secret")
        connections.do("put", id, tokenUrl=other.url + "/token",
                       clientSecretId=connections.secret(id, "client_secret", "another secret"))
        connections.completed(id, generation=2)
        assert other.active(connections.token(id))
        assert {e["outcome"] for e in other.ledger("asked", endpoint="token")} == {"done"}
        connections.do("delete", id)


def test_an_issuer_is_asked_for_its_endpoints(connections, provider):
    """O-06 O-11: a provider that nobody has a row for says itself where it tests, revokes and is asked."""
    id = connections.make(provider, flow="refresh_token", row=None, issuer=provider.url)
    row = connections.completed(id)
    assert f"{provider.url}/revoke" in row["endpoints"] and row["last_test_at"]
    assert [(e["path"], e["outcome"]) for e in provider.ledger("asked", endpoint="userinfo")] == [("/userinfo", "done")]
    assert len(provider.ledger("asked", endpoint="discovery")) == 1
    connections.do("refresh", id)
    assert len(provider.ledger("asked", endpoint="discovery")) == 1
    connections.do("delete", id)
    assert len(provider.ledger("asked", endpoint="revoke")) == 1


def test_a_provider_is_recognised_from_its_urls_and_tested_at_its_own_endpoint(connections, provider):
    """O-06: nobody has said whose it is, and it has no issuer; each provider of the table: tests/unit/provider_test.c."""
    def tests():
        return [(e["path"], e["outcome"]) for e in provider.ledger("asked", endpoint="userinfo")]

    id = connections.make(provider, flow="refresh_token", row=None,
                          authorizationUrl="https://login.recognised.test/authorize")
    first = connections.completed(id)
    assert tests() == [("/oauth/token/info", "done")] and first["provider"] is None and first["last_test_at"]
    assert connections.do("test", id).kind == "connection.tested"
    assert tests() == [("/oauth/token/info", "done")] * 2
    assert connections.row(id)["last_test_at"] > first["last_test_at"]
    unknown = connections.make(provider, flow="refresh_token", row=None)
    assert connections.completed(unknown)["last_test_at"] is None and len(tests()) == 2


def test_no_secret_is_on_a_topic_in_a_log_or_readable_in_the_database(connections, provider, stack):
    """O-14 S-01: client secret, tokens and code."""
    id = connections.make(provider, flow="authorization_code", row="local_strict", secret="s3cret-of-the-client")
    state, back = authorized(connections, provider, id)
    connections.do("exchange", id, stateId=state, codeId=connections.secret(id, "code", back["code"]))
    connections.do("refresh", id)
    provider.misbehave("error", error="invalid_grant", description="no such token: {token}", count=1)
    connections.do("refresh", id)
    secrets = {"s3cret-of-the-client", VERIFIER, back["code"]}
    for entry in provider.ledger("issued"):
        secrets |= {entry[k] for k in ("access", "refresh") if entry.get(k)}
    assert len(secrets) >= 6
    texts = [p.read_text(errors="replace") for p in (stack.run / "log").glob("*.log")]
    for topic in ("drawbridge.refresh", "drawbridge.events", "drawbridge.refresh.dlq", "drawbridge.audit",
                  "drawbridge.refresh.retry.1s"):
        texts += [repr((r.key, r.value, r.raw_headers)) for r in read_all(stack.brokers, topic)]
    for table in ("connection", "connection_secret", "oauth_state", "ledger", "pending"):
        texts += [str(r) for r in stack.sql(f"SELECT t::text FROM {table} t")]
    for secret in secrets:
        found = [t for t in texts if secret in t or secret.encode().hex() in t]
        assert not found, found[0][:500]
