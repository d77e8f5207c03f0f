"""Keeps or drops events by conditions; see the README."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, Literal

from relay_guest import ABSENT, Absent, Event, Halt, Operation, Outcome, Poison, Unused, drop, drop_if, json, transform


@dataclass(frozen=True)
class Condition:
    """Holds when every part that is given holds."""

    event_type: list[str] | None = None
    entity: list[str] | None = None
    operation: list[Operation] | None = None
    field: json.Path | None = None
    """A value in the payload. A plural path (``items[].sku``) asks whether any
    of its values meets the test."""
    equals: Any | Absent = ABSENT
    in_: list[Any] | None = None
    exists: bool | None = None

    def __post_init__(self) -> None:
        tests = (self.equals is not ABSENT) + (self.in_ is not None) + (self.exists is not None)
        if self.field is not None:
            if tests != 1:
                raise ValueError("`field` needs one of `equals`, `in`, `exists`")
        elif tests:
            raise ValueError("`equals`, `in`, `exists` need a `field`")
        elif self.event_type is self.entity is self.operation is None:
            raise ValueError("an empty condition would hold for every event")

    def holds(self, event: Event) -> bool:
        # The payload is read last, and only if the rest holds.
        return (
            (self.event_type is None or event.event_type in self.event_type)
            and (self.entity is None or event.entity in self.entity)
            and (self.operation is None or event.operation in self.operation)
            and (self.field is None or self.field_holds(self.field, event))
        )

    def field_holds(self, path: json.Path, event: Event) -> bool:
        text = event.text()
        values = [] if text is None else path.values(text)
        if self.exists is not None:
            return self.exists == bool(values)
        wanted = self.in_ if self.equals is ABSENT else [self.equals]
        return any(equal(one, found) for found in map(parsed, values) for one in wanted or ())


@dataclass(frozen=True)
class Settings:
    keep: list[Condition] = field(default_factory=list)
    drop: list[Condition] = field(default_factory=list)
    invalid: Literal["poison", "halt"] = "poison"
    """What a payload that is not JSON means where a condition has to read it."""

    def __post_init__(self) -> None:
        if not self.keep and not self.drop:
            raise ValueError("`keep` or `drop` must have at least one condition")


@transform
class Filter:
    def __init__(self, settings: Settings) -> None:
        self.keep, self.drop = settings.keep, settings.drop
        self.halts = settings.invalid == "halt"

    def unused(self) -> Unused:
        return Unused(payload=all(one.field is None for one in self.keep + self.drop), before=True, headers=True)

    def apply(self, event: Event) -> Outcome:
        try:
            if self.keep and not any(one.holds(event) for one in self.keep):
                return drop("not-kept")
            return drop_if(any(one.holds(event) for one in self.drop), "dropped")
        except Poison as poison:
            # The one failure of a condition is a payload that is not JSON.
            if self.halts:
                raise Halt(poison.code, poison.detail) from None
            raise


def parsed(text: str) -> Any:
    """The value of JSON text. What a reader could not hold (a number out of
    range, a string without UTF-8 form) equals nothing."""
    try:
        value = json.loads(text)
    except json.Invalid:
        return ABSENT
    return value if holdable(value) else ABSENT


def holdable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(holdable, value.values()))
    if isinstance(value, list):
        return all(map(holdable, value))
    return not is_number(value) or is_integer(value) or isfinite(double(value))


def equal(a: Any, b: Any) -> bool:
    """As JSON readers compare: members in any order, 1.0 is 1. Numbers that are
    not integers of 64 bits are compared as doubles."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(equal, a, b))
    if is_number(a) and is_number(b):
        return bool(a == b) if is_integer(a) and is_integer(b) else double(a) == double(b)
    return type(a) is type(b) and bool(a == b)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and -(1 << 63) <= value < 1 << 64


def double(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return inf
