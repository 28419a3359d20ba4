"""What callers do is in the audit trail (T-09, V-S6): who came in, who was refused and why, which links
were used; told soon, counted while it goes on, and none of it a secret."""
import pytest

from harness import until
from harness.caller import Caller, token_of


@pytest.fixture(scope="module")
def url(stack):
    """Tells of a window after a second; believes a proxy, so that each test has an address of its own."""
    stack.start("gateway-seen", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_RECORD_WINDOW": "1s", "DRAWBRIDGE_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8"})
    yield stack.gateway_url("gateway-seen")
    stack.stop("gateway-seen")


def rows(stack, address, kind):
    return stack.sql("SELECT * FROM operational_event WHERE ip_address = %s AND event_type = %s ORDER BY timestamp",
                     address, kind)


def total(found):
    return sum(r["metadata"]["count"] for r in found)


def seen(stack, address, kind, count=1):
    """The records of one kind from there, when they add up to `count`."""
    found = until(lambda: total(rows(stack, address, kind)) >= count and rows(stack, address, kind), 20,
                  lambda: f"{kind} from {address}: {rows(stack, address, kind)}\n{stack.tail('refresh')}")
    assert total(found) == count
    return found


def token_id(stack, owner):
    return stack.value("SELECT id::text FROM personal_access_token WHERE owner = %s", owner)


def test_a_request_that_is_let_in_is_recorded_with_its_token(stack, url):
    """T-09: auth.request.authenticated, with token id, owner, address and the request's correlation id."""
    ada = Caller(url, token_of(stack, "svc-seen", "sessions:read"), X_Forwarded_For="192.0.2.10")
    assert ada("GET", "/api/vpn/status", X_Correlation_Id="seen-1")[0] == 200
    row = seen(stack, "192.0.2.10", "auth.request.authenticated")[0]
    assert (row["outcome"], row["user_id"], row["correlation_id"]) == ("success", "svc-seen", "seen-1")
    assert row["metadata"]["tokenId"] == token_id(stack, "svc-seen")
    assert row["metadata"]["route"] == "vpn_list"
    assert stack.workers["gateway-seen"].metric("drawbridge_http_authenticated_total", credential="token") >= 1


@pytest.mark.parametrize("number, reason, known", [(21, "unknown", False), (22, "wrong", True), (23, "revoked", True)])
def test_a_refused_credential_is_recorded_with_what_is_known_of_it(stack, url, number, reason, known):
    """T-09: auth.request.denied tells what the answer does not."""
    owner, address = f"svc-denied-{number}", f"192.0.2.{number}"
    good = token_of(stack, owner, "sessions:read")
    id = token_id(stack, owner)
    if reason == "unknown":
        good = "k" * 40  # an API key that nobody has
    elif reason == "wrong":
        assert stack.cli("token", "rotate", id).returncode == 0
    else:
        assert stack.cli("token", "revoke", id).returncode == 0
    assert Caller(url, good, X_Forwarded_For=address)("GET", "/api/vpn/status")[0] == 401
    row = seen(stack, address, "auth.request.denied")[0]
    assert (row["outcome"], row["metadata"]["reason"]) == ("failure", reason)
    assert row["metadata"].get("tokenId") == (id if known else None)
    assert row["user_id"] == (owner if known else None)


def test_a_scope_that_is_missing_and_a_wrong_address_are_recorded(stack, url, client, user):
    """T-09 V-S6"""
    name = user(allowedSourceIPs=["192.0.2.31/32"])
    token = token_of(stack, name, "sessions:read")
    for address, path, reason in (("192.0.2.31", "/api/audit", "scope"), ("192.0.2.32", "/api/vpn/status", "source")):
        assert Caller(url, token, X_Forwarded_For=address)("GET", path)[0] == 403
        row = seen(stack, address, "auth.request.denied")[0]
        assert (row["user_id"], row["metadata"]["reason"]) == (name, reason)


def test_behind_a_proxy_that_appends_a_line_of_its_own_the_clients_line_is_not_believed(stack, url):
    """T-14 V-S6: lines of one header are one list, and who asks is at its end."""
    connection = Caller(url).connection()
    try:
        connection.putrequest("GET", "/api/vpn/status")
        connection.putheader("X-Forwarded-For", "192.0.2.91")
        connection.putheader("X-Forwarded-For", "192.0.2.92")
        connection.endheaders()
        assert connection.getresponse().status == 401
    finally:
        connection.close()
    seen(stack, "192.0.2.92", "auth.request.denied")
    assert not rows(stack, "192.0.2.91", "auth.request.denied")


def test_many_of_one_kind_are_few_records_and_every_one_counts(stack, url):
    """T-09: the first is told at once, the rest as a count."""
    nobody = Caller(url, X_Forwarded_For="192.0.2.40")
    assert nobody("GET", "/api/vpn/status")[0] == 401
    seen(stack, "192.0.2.40", "auth.request.denied")
    for _ in range(49):
        assert nobody("GET", "/api/vpn/status")[0] == 401
    found = seen(stack, "192.0.2.40", "auth.request.denied", 50)
    assert 2 <= len(found) <= 20, found
    assert all(r["metadata"]["firstAt"] <= r["metadata"]["lastAt"] for r in found)


def test_what_was_counted_is_told_before_a_gateway_goes(stack):
    """T-09: SIGTERM in the middle of a window."""
    stack.start("gateway-going", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_RECORD_WINDOW": "1h", "DRAWBRIDGE_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8"})
    nobody = Caller(stack.gateway_url("gateway-going"), X_Forwarded_For="192.0.2.50")
    for _ in range(7):
        assert nobody("GET", "/api/vpn/status")[0] == 401
    seen_before = rows(stack, "192.0.2.50", "auth.request.denied")
    assert total(seen_before) < 7
    assert stack.stop("gateway-going") == 0
    seen(stack, "192.0.2.50", "auth.request.denied", 7)


def test_while_no_worker_takes_records_requests_do_not_wait_and_none_is_lost(stack, url):
    """T-09"""
    nobody = Caller(url, X_Forwarded_For="192.0.2.60")
    stack.kill("refresh")
    for _ in range(5):
        assert nobody("GET", "/api/vpn/status")[0] == 401
    assert not rows(stack, "192.0.2.60", "auth.request.denied")
    stack.start("refresh")
    seen(stack, "192.0.2.60", "auth.request.denied", 5)


@pytest.mark.limit(120)
def test_records_are_sent_again_after_an_outage_of_kafka_and_counted_once(rough_stack):
    """T-09: a command that was not taken goes out again under its id; requests are answered meanwhile."""
    rough_stack.start("gateway-cut", worker="gateway", env={
        "DRAWBRIDGE_GATEWAY_RECORD_WINDOW": "1s", "DRAWBRIDGE_GATEWAY_PUBLISH_TIMEOUT": "1s",
        "DRAWBRIDGE_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8"})
    gateway = rough_stack.workers["gateway-cut"]
    nobody = Caller(rough_stack.gateway_url("gateway-cut"), X_Forwarded_For="192.0.2.70")
    token = token_of(rough_stack, "svc-cut", "sessions:write")
    somebody = Caller(rough_stack.gateway_url("gateway-cut"), token, X_Forwarded_For="192.0.2.71")
    try:
        rough_stack.ops("kill", "kafka")
        try:
            for _ in range(3):
                assert nobody("GET", "/api/vpn/status")[0] == 401
            for prefer in ("respond-async", "wait=0", "wait=20"):  # 202 would say that Kafka has it (V-17)
                status, problem, _ = somebody("POST", "/api/vpn/start", {"userId": "u-cut"}, Prefer=prefer)
                assert (status, problem["code"]) == (503, "service.unavailable"), prefer
            until(lambda: any(line["event"] == "record.unpublished" for line in gateway.log_lines()), 20,
                  lambda: rough_stack.tail("gateway-cut"))
        finally:
            rough_stack.ops("start", "kafka", timeout=90)
        assert nobody("GET", "/api/vpn/status")[0] == 401
        until(lambda: total(rows(rough_stack, "192.0.2.70", "auth.request.denied")) >= 4, 45,
              lambda: rough_stack.tail("gateway-cut") + rough_stack.tail("refresh"))
    finally:
        rough_stack.stop("gateway-cut")
    assert total(rows(rough_stack, "192.0.2.70", "auth.request.denied")) == 4


def test_a_link_that_leads_nowhere_is_recorded_without_its_token(stack, url):
    """V-S6"""
    link = "dl_" + "B" * 43
    assert Caller(url, X_Forwarded_For="192.0.2.80")("GET", f"/d/{link}")[0] == 410
    row = seen(stack, "192.0.2.80", "vpn.connect.refused")[0]
    assert (row["outcome"], row["metadata"]["route"]) == ("failure", "download")
    assert link not in str(row)
