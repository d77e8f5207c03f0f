"""SDK for relay transforms in Python.

A transform is a function, or a class with a method ``apply``, under
:func:`transform`::

    from dataclasses import dataclass

    from relay_guest import Event, Outcome, drop_if, transform


    @dataclass(frozen=True)
    class Settings:
        entity: str


    @transform
    def only_entity(event: Event, settings: Settings) -> Outcome:
        return drop_if(event.entity != settings.entity, "other-entity")

There is no clock, no randomness and no I/O; the same event must give the same
outcome. What a transform remembers between events is only a cache: the host
may replace the instance at any time.

Nothing here shows which WIT world carries the events, and all but
``transformer`` imports in any Python, so transforms are tested as plain
functions.
"""

from . import json
from ._transform import Unused, transform
from .event import Event, Header, Operation, Position
from .failure import Failure, Halt, Poison
from .helpers import drop_if, map_json, map_object, route
from .outcome import KEEP, PASS, Content, Drop, Message, Outcome, drop
from .settings import ABSENT, Absent, SettingsError

__all__ = [
    "ABSENT",
    "KEEP",
    "PASS",
    "Absent",
    "Content",
    "Drop",
    "Event",
    "Failure",
    "Halt",
    "Header",
    "Message",
    "Operation",
    "Outcome",
    "Poison",
    "Position",
    "SettingsError",
    "Unused",
    "drop",
    "drop_if",
    "json",
    "map_json",
    "map_object",
    "route",
    "transform",
]
