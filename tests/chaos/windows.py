"""The places on the way of a command at which workers are killed: the names that the sources give
their failpoints (FAILPOINT in workers/), and who passes them. A window in which nobody was killed
fails the run."""
import re

from harness.stack import ROOT

ENGINE = ("provisioning", "teardown", "refresh")
ALL = ENGINE + ("audit",)
DRIVERS = ("provisioning", "teardown")

# name: (what has just happened, who passes it, the latest pass worth waiting for)
WINDOWS = {
    "batch-taken": ("records were taken from Kafka, nothing was read yet", ALL, 12),
    "batch-loaded": ("the rows that the batch decides about have been read", ALL, 12),
    "batch-decided": ("everything is decided, nothing was sent", ALL, 12),
    "commit-unsent": ("the commit is about to be written to the connection", ALL, 12),
    "commit-half-sent": ("half of the segment is with the server, its end is not", ALL, 12),
    "commit-sent": ("the segment's end is with the server, the answer is not here", ALL, 12),
    "commit-unpublished": ("committed; none of its messages is with the producer", ALL, 12),
    "publish-halfway": ("half of the batch's messages are with the producer", ALL, 4),
    "publish-part-acked": ("some of the shard's messages are acknowledged, some are not", ALL, 4),
    "published-unmarked": ("all is acknowledged, the mark was not written", ALL, 12),
    "mark-sent": ("the mark is with the server, the answer is not here", ALL, 4),
    "mark-written": ("the mark is written", ALL, 4),
    "effect-unintended": ("an effect is decided, its intent is not committed", DRIVERS, 6),
    "effect-intended": ("the intent is committed, the provider was not called", DRIVERS, 6),
    "effect-called": ("the provider was called and has not answered", DRIVERS, 6),
    "effect-claimed": ("a provider's question is claimed, and was not sent", ("refresh",), 6),
    "effect-answered": ("the provider has answered, the outcome is not committed", DRIVERS, 6),
    "ticket-unproduced": ("a retry's row is committed, its ticket was not produced", DRIVERS, 2),
    "epoch-raised": ("the shards' epochs are raised, nothing was read yet", ALL, 1),
    "timer-set": ("a turn is over, the loop is about to wait", ALL, 200),
    "offsets-unstored": ("positions are about to be told to Kafka", ALL, 2),
    "offsets-stored": ("positions were told to Kafka", ALL, 2),
}

# Passed where providers are asked, which the storm does not: tests/scenarios/test_connections_windows.py kills there.
ELSEWHERE = ("effect-claimed",)


def in_sources():
    """The failpoints that workers/ has."""
    pattern = re.compile(r'FAILPOINT(?:_IF|_AFTER)?\((?:[^;]*?,\s*)?"([a-z-]+)"\)')
    return {name for path in (ROOT / "workers").rglob("*.c")
            for name in pattern.findall(path.read_text())}


def mismatch():
    """Failpoints that the sources and this table do not share."""
    return sorted(in_sources() ^ set(WINDOWS))
