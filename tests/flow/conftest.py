"""Stacks without workers; see bare_stack."""
import pytest

from bare_stack import BUILD, drop_bare, make_bare


@pytest.fixture(scope="session")
def bare():
    """Migrated, with topics."""
    made = make_bare()
    try:
        made.up(BUILD, "--no-workers")
        yield made
    finally:
        drop_bare(made)


@pytest.fixture(scope="module")
def empty():
    """Neither migrated nor with topics."""
    made = make_bare()
    try:
        made.up("/nonexistent", "--no-workers")
        yield made
    finally:
        drop_bare(made)
