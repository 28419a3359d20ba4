"""What the formats of our schemas mean that OpenAPI does not know, for the contract tester."""
import ipaddress

import schemathesis
from hypothesis import strategies as st

NETWORKS = st.one_of(
    st.integers(0, 32).flatmap(lambda n: st.integers(0, 2 ** n - 1).map(
        lambda top: f"{ipaddress.IPv4Address(top << (32 - n))}/{n}")),
    st.integers(0, 64).flatmap(lambda n: st.integers(0, 2 ** n - 1).map(
        lambda top: f"{ipaddress.IPv6Address(top << (128 - n))}/{n}")))
schemathesis.openapi.format("cidr", NETWORKS)


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """No provider is asked: nobody is there, and the connection's commands would wait for one. So no connection
    gets tokens by itself, and none is authorized by a device."""
    if isinstance(case.body, dict) and case.body.get("oauth_flow_type") in ("client_credentials", "refresh_token"):
        case.body["oauth_flow_type"] = "authorization_code"
    if isinstance(case.query, dict) and case.query.get("device") == "true":
        case.query["device"] = "false"
