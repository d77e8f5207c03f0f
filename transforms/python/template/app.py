"""Masks one member of a JSON payload, and drops test events."""

from dataclasses import dataclass
from typing import Any

from relay_guest import Event, Outcome, Unused, drop, map_object, transform


@dataclass(frozen=True)
class Settings:
    mask: str = "email"


@transform(unused=Unused(before=True, headers=True))
def apply(event: Event, settings: Settings) -> Outcome:
    def edit(row: dict[str, Any]) -> Outcome | None:
        if row.get("test") is True:
            return drop("test")
        if settings.mask in row:
            row[settings.mask] = "***"
        return None

    return map_object(event, edit)
