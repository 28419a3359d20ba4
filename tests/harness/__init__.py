"""What the black-box tests share: a private stack, a publisher that follows the events, a checker.

Everything here is written against the contracts only (topics, headers, schemas, tables), with
libraries that know nothing of Drawbridge.
"""
from .checker import check
from .client import Client, Command, Event
from .open_work import open_work
from .stack import Stack
from .wait import until

__all__ = ["Client", "Command", "Event", "Stack", "check", "open_work", "until"]
