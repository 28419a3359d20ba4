"""OAuth connections, from a command to the provider's ledger (O-01 … O-09)."""
import pytest
from harness.connections import Connections
from harness.provider import Provider
from harness.wait import until


@pytest.fixture
def connections(stack, client):
    all = Connections(stack, client)
    yield all
    all.close()


@pytest.fixture
def provider():
    with Provider(rotation="strict") as one:
        yield one


def test_client_credentials_get_their_token_by_themselves_and_it_is_tested(connections, provider):
    """O-01 O-02 O-06: made, a token fetched, tested, completed; and its access token is the provider's."""
    id = connections.make(provider, scopes="read write")
    row = connections.completed(id)
    assert provider.active(connections.token(id))
    assert row["generation"] == 1 and row["completed_at"] and row["renew_at"] < row["expires_at"]
    assert connections.said(id) == ["changed", "completed"]
    connections.do("refresh", id)
    assert connections.row(id)["generation"] == 2
    assert provider.active(connections.token(id))
    assert connections.do("test", id).kind == "connection.tested"
