"""A night to practise on: the provider is down while 5,000 commands come in, an upstream service was
deployed with a mistake in it, and three messages are no commands at all.

    make up drill              the night begins
    make drill ARGS=--morning  the provider is back (that was somebody else's work)

What the person on call does in between is ops/docs/runbooks/bad-night.md, and in
tests/scenarios/test_bad_night.py the same is done by a program.
"""
import argparse
import os

import psycopg

from .client import Client, Command, new_id

PROVISIONING = "drawbridge.provisioning"
COMMANDS = 5000
PEOPLE = 400
EACH = 25  # every so many commands one start; a person starts one session
BAD_DEPLOY = 12
PORTAL = "urn:portal:4.2"


def provider(database_url, down):
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE simulated_provider SET down = %s, capacity = 1000000", [down])
        db.execute("UPDATE infrastructure_state SET capacity = greatest(capacity, 1000)")


class Night:
    """Publishes the night's traffic; `commands` have to end as done, `letters` die first."""

    def __init__(self, client):
        self.client = client
        tag = new_id()[:6]
        self.people = [f"night-{tag}-{i:03}" for i in range(PEOPLE)]
        self.commands, self.letters = [], []

    def evening(self):
        """People who exist before anything breaks; returns when they do."""
        made = [self.client.publish(self.client.user_put(
            name, quotaMaxConcurrentSessions=3, quotaMaxSessionsPerDay=1000))
            for name in self.people]
        self.client.flush()
        self.client.outcomes(made, 120)

    def traffic(self):
        """Starts that need the provider, and changes of people that do not."""
        for i in range(COMMANDS):
            self.commands.append(self.client.publish(
                self.client.start_session(self.people[i // EACH]) if i % EACH == 0
                else self.client.user_put(self.people[i % PEOPLE], displayName=f"change {i}")))
        self.client.flush()

    def bad_deploy(self):
        """Portal 4.2 writes a number as a word."""
        for name in self.people[:BAD_DEPLOY]:
            data = {"userId": name, "quotaMaxConcurrentSessions": "two",
                    "requestedBy": {"kind": "system", "id": "portal"}}
            self.letters.append(self.client.publish(
                Command("user.put", data, name, f"user/{name}", source=PORTAL)))
        self.client.flush()

    def poison(self):
        """A body that was cut off, a type nobody knows, and bytes of no meaning."""
        name = self.people[-1]
        cut = self.client.user_put(name, displayName="cut")
        cut.value = cut.value[:-9]
        unknown = self.client.user_put(name, displayName="unknown")
        unknown.headers = [(n, b"drawbridge.user.upsert" if n == "ce_type" else v)
                           for n, v in unknown.headers]
        for command in (cut, unknown):
            self.client.raw(PROVISIONING, command.value, command.key.encode(), command.headers)
        self.client.raw(PROVISIONING, b"\x00\x01\x02", b"night", [])


def main():
    parser = argparse.ArgumentParser(prog="make drill ARGS=…", description=__doc__.split("\n\n")[0])
    parser.add_argument("--morning", action="store_true", help="the provider answers again")
    args = parser.parse_args()
    url = os.environ["DRAWBRIDGE_DATABASE_URL"]
    if args.morning:
        provider(url, down=False)
        print("The provider answers again.")
        return
    client = Client(os.environ["DRAWBRIDGE_KAFKA_BROKERS"])
    try:
        night = Night(client)
        night.evening()
        provider(url, down=True)
        night.bad_deploy()
        night.traffic()
        night.poison()
    finally:
        client.close()
    print(f"{COMMANDS} commands are on their way, and you are on call. "
          "ops/docs/runbooks/bad-night.md begins with: drawbridge status")


if __name__ == "__main__":
    main()
