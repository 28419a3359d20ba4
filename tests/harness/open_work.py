"""What a stack has open, as text: the first thing to know about a test that waited in vain."""

ASKED = {
    "pending": "SELECT consumer, shard, subject, pos, command_id, type, state, attempt, due_at,"
               " accepted_at, error_code FROM pending ORDER BY accepted_at LIMIT 40",
    "unpublished": "SELECT consumer, n, epoch, next_offset, ledger_seq, published FROM shard"
                   " WHERE published <> ledger_seq",
    "open in the inbox": "SELECT consumer, shard, day, digest FROM inbox WHERE outcome = 'o'"
                         " LIMIT 40",
    "live sessions": "SELECT id, user_id, status, reason, cancelling, stop_command, version"
                     " FROM sessions WHERE status <> 'terminated' LIMIT 40",
}


def open_work(stack):
    """Never raises: it runs when something is broken already."""
    lines = []
    for what, query in ASKED.items():
        try:
            rows = stack.sql(query)
            lines += [f"{what}: {len(rows)}", *(f"  {row}" for row in rows)]
        except Exception as error:  # noqa: BLE001
            lines.append(f"{what}: {error}")
    for name, worker in stack.workers.items():
        try:
            lines.append(stack.tail(name, 8))
            values = {k: v for k, v in worker.metrics().items() if v and "bucket" not in k}
            lines += [f"{name}: {worker.readiness()}", f"  {values}"]
        except Exception as error:  # noqa: BLE001
            lines.append(f"{name}: {error}")
    return "\n".join(lines)
