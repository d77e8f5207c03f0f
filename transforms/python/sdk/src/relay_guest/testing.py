"""For the tests of a transform, in any Python: no Wasm, no host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import json
from ._transform import make
from .event import Event
from .outcome import Outcome


def event(payload: str | bytes | dict[str, Any] | list[Any] | None = None, **fields: Any) -> Event:
    """An event with that payload; a dict or list is written as JSON. The other
    fields are those of :class:`relay_guest.Event`."""
    if isinstance(payload, dict | list):
        payload = json.dumps(payload)
    if isinstance(payload, str):
        payload = payload.encode()
    return Event(payload=payload, **{"id": "1", **fields})


def create(target: Callable[..., Any], settings: str | dict[str, Any] | None = None) -> Callable[[Event], Outcome]:
    """The transform with these settings, as the host makes it; ``SettingsError``
    if they are refused."""
    return make(target, settings or {}).apply
