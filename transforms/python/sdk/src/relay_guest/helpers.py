"""The common cases in one call."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

from . import json
from .event import Event, Operation
from .outcome import PASS, Drop, Message, Outcome


def map_json(event: Event, edit: Callable[[Any], Outcome | None]) -> Outcome:
    """Edits the payload as JSON.

    ``edit`` changes the tree it is given. What it returns, unless ``None``, is
    the outcome instead: ``drop("test")`` for one. Tombstones and deletes pass
    untouched, and so does an event whose tree the edit leaves as it was.

    A payload that is not JSON is poison ``invalid-json``. The text is written
    anew: white space goes, order and the digits of numbers stay, of a repeated
    key only the last value is kept. To keep every character of the rest, see
    :mod:`relay_guest.json`.
    """
    text = None if event.operation is Operation.DELETE else event.text()
    if text is None:
        return PASS
    tree = json.loads(text)
    before = tree.copy() if isinstance(tree, dict | list) else tree
    outcome = edit(tree)
    if outcome is not None:
        return outcome
    edited = json.dumps(tree)
    # A text that was not written like ours says nothing yet. If the same values
    # stand where they stood, only one within them can have changed.
    if edited == text or (_same(before, tree) and edited == json.dumps(json.loads(text))):
        return PASS
    return Message(edited)


def _same(before: Any, after: Any) -> bool:
    if isinstance(after, dict):
        return list(before) == list(after) and all(map(is_, before.values(), after.values()))
    if isinstance(after, list):
        return len(before) == len(after) and all(map(is_, before, after))
    return True


def map_object(event: Event, edit: Callable[[dict[str, Any]], Outcome | None]) -> Outcome:
    """As :func:`map_json`, where the payload is a JSON object; anything else
    that is JSON passes."""
    return map_json(event, lambda tree: edit(tree) if isinstance(tree, dict) else PASS)


def route(topic: str) -> Message:
    """The event as it is, to another topic."""
    return Message(topic=topic)


def drop_if(condition: bool, reason: str | None = None) -> Outcome:
    """Drops with that reason if the condition holds, passes otherwise."""
    return Drop(reason) if condition else PASS
