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
