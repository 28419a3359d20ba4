"""Dead letters sent back while the storm goes on, by the protocol that operators' tools use: the letter
is taken by compare-and-set, then its record is produced with the token; after a crash in between it is
produced again, and a second copy must find the token spent."""
import struct

import psycopg

TAKEN = ("__dlq.", "drawbridge-failure-class", "drawbridge-reason", "drawbridge-original-time",
         "drawbridge-worker-version", "drawbridge-attempt", "drawbridge-not-before",
         "drawbridge-first-failed-at", "drawbridge-last-error", "drawbridge-replay-")
COLUMNS = "id, consumer, shard, command_id, key, value, headers, replay_token::text AS token"


def header_list(block):
    """[(name, value)] of a column of headers."""
    headers, at = [], 0
    while at < len(block):
        length, = struct.unpack_from("!H", block, at)
        name = block[at + 2:at + 2 + length].decode()
        at += 2 + length
        length, = struct.unpack_from("!i", block, at)
        at += 4
        headers.append((name, None if length < 0 else block[at:at + length]))
        at += max(length, 0)
    return headers


class Replays:
    def __init__(self, storm):
        self.storm, self.place = storm, storm.place
        self.commands = {}  # id of the letter -> id of its command

    def take(self, most):
        """Takes parked letters of commands that could be read; what the database says is what counts."""
        try:
            rows = self.place.sql(
                "UPDATE dead_letter SET state = 'replaying', replay_token = gen_random_uuid(),"
                " replay_by = 'chaos' WHERE state = 'parked' AND id IN (SELECT id FROM dead_letter"
                " WHERE state = 'parked' AND class <> 'invalid' AND command_id IS NOT NULL"
                f" ORDER BY died_at DESC LIMIT %s) RETURNING {COLUMNS}", most)
        except psycopg.Error:
            return []  # taken or not: resume() finds out
        return self.known(rows)

    def known(self, rows):
        for row in rows:
            self.commands[row["id"]] = row["command_id"]
        return rows

    def produce(self, row):
        headers = [(n, v) for n, v in header_list(bytes(row["headers"])) if not n.startswith(TAKEN)]
        headers += [("drawbridge-replay-of", str(row["id"]).encode()),
                    ("drawbridge-replay-token", row["token"].encode())]
        self.storm.client._producer.produce(
            f"drawbridge.{row['consumer']}", partition=row["shard"],
            value=None if row["value"] is None else bytes(row["value"]),
            key=None if row["key"] is None else bytes(row["key"]), headers=headers)

    def resume(self):
        """What was taken and has not been seen to arrive is produced (again)."""
        rows = self.place.persistently(
            f"SELECT {COLUMNS} FROM dead_letter WHERE state = 'replaying' AND replay_token IS NOT NULL")
        for row in self.known(rows):
            self.produce(row)
        self.storm.client.flush(60)
        return len(rows)

    def problems(self, reading):
        """Each replay has one outcome of its own, the one that the letter tells."""
        told = {}
        for event in reading.first.values():
            of = event.headers.get("drawbridge-replay-of")
            if of and event.outcome:
                told.setdefault(int(of), []).append(event.outcome)
        for row in self.place.sql("SELECT id, state, replay_outcome FROM dead_letter"
                                  " WHERE id = ANY(%s)", list(self.commands)):
            if row["state"] != "resolved" or told.get(row["id"], []) != [row["replay_outcome"]]:
                yield f"letter {row['id']}: {row}, and the stream tells {told.get(row['id'])}"
