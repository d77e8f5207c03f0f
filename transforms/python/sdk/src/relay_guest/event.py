"""What a transform is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from . import json
from .failure import Poison


class Operation(StrEnum):
    """What happened in the source."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"
    SNAPSHOT = "snapshot"
    MESSAGE = "message"


@dataclass(slots=True, order=True)
class Position:
    """Place of an event in its source; events made from one event share it.

    It grows for any one key whose writers serialise.
    """

    commit: int = 0
    index: int = 0


class Header(NamedTuple):
    """One record header. Names may repeat; a value of ``None`` is Kafka's null."""

    name: str
    value: bytes | None


@dataclass(slots=True)
class Event:
    """One event, to be read only. The host makes them; tests may."""

    id: str
    """Stable across redelivery and unique in the pipeline: the idempotency key."""
    position: Position = field(default_factory=Position)
    time: int = 0
    """When it happened (outbox) or was committed (CDC), in microseconds since
    the Unix epoch. A transform has no other clock."""
    operation: Operation = Operation.INSERT
    entity: str = ""
    """Outbox: aggregate type. CDC: ``schema.table``. Logical message: its prefix."""
    event_type: str = ""
    """Outbox: event type; otherwise the operation's name. A transform before
    this one may have changed it."""
    topic: str = ""
    """Where it is published if no transform chooses."""
    key: bytes | None = None
    """Orders events and picks the partition."""
    payload: bytes | None = None
    """``None`` is a tombstone, or a payload the transform declared unused."""
    before: bytes | None = None
    """CDC: the row before the change, where known."""
    unchanged: list[str] = field(default_factory=list)
    """CDC: columns that did not change and were not sent, absent from the payload."""
    headers: list[Header] = field(default_factory=list)

    def text(self) -> str | None:
        """The payload as text; ``None`` for a tombstone.

        Raises poison ``invalid-json`` if it is not UTF-8.
        """
        if self.payload is None:
            return None
        try:
            return self.payload.decode()
        except UnicodeDecodeError as error:
            raise Poison(json.INVALID, f"payload is not UTF-8 at byte {error.start}") from None

    def json(self) -> Any:
        """The payload read as JSON; numbers remember their digits.

        Raises poison ``invalid-json`` if it is none, ``no-payload`` for a
        tombstone. :func:`relay_guest.map_json` lets tombstones through.
        """
        text = self.text()
        if text is None:
            raise Poison("no-payload", "the event has no payload")
        return json.loads(text)

    def key_text(self) -> str | None:
        """The key as text; ``None`` if there is none or it is not UTF-8."""
        return _text(self.key)

    def header(self, name: str) -> bytes | None:
        """The last header of that name that has a value."""
        for header in reversed(self.headers):
            if header.name == name and header.value is not None:
                return header.value
        return None

    def header_text(self, name: str) -> str | None:
        """The last header of that name that has a value, if that is UTF-8."""
        return _text(self.header(name))


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
