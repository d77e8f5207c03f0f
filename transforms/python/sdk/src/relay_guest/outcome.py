"""What becomes of an event that did not fail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

from .event import Header


class _Mark(Enum):
    KEEP = "KEEP"
    PASS = "PASS"

    def __repr__(self) -> str:
        return self.value


KEEP: Final = _Mark.KEEP
"""The key or payload stays as in the event."""
PASS: Final = _Mark.PASS
"""Publish the event unchanged."""

Content = str | bytes | None | dict[str, Any] | list[Any]
"""A key or payload: text, bytes, ``None`` for a null key or a tombstone, or a
dict or list to be written as JSON."""


@dataclass(slots=True)
class Message:
    """A message to publish, written as changes to the event it came from: what
    is not set stays as in the event, and costs no copy."""

    payload: Content | Literal[_Mark.KEEP] = KEEP
    key: Content | Literal[_Mark.KEEP] = KEEP
    """Order holds per *source* key; a new key brings no order of its own."""
    id: str | None = None
    """Unset: the event's id; in a list of several, that id, ``:`` and the index."""
    event_type: str | None = None
    """What the next transform sees as the event's type."""
    topic: str | None = None
    """The config must allow it."""
    partition: int | None = None
    """Unset: by key."""
    remove_headers: Sequence[str] = ()
    """Names of headers to remove, before any is appended."""
    append_headers: Iterable[Header | tuple[str, bytes | str | None]] = ()
    """Headers to append: name and value. Names that begin with ``relay-`` are
    the host's."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Acknowledge and publish nothing. The reason becomes a metric label, so it
    must be one of a few."""

    reason: str | None = None


Outcome = Literal[_Mark.PASS] | Drop | Message | Sequence[Message]
"""What a transform returns. A list is published in its order; an empty one
drops the event. To fail the event, raise :class:`relay_guest.Poison`."""


def drop(reason: str | None = None) -> Drop:
    """Drops the event; see :class:`Drop`."""
    return Drop(reason)
