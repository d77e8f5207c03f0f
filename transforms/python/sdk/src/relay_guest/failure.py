"""Why an event has no outcome. Failures are raised."""

from __future__ import annotations


class Failure(Exception):
    """Base of :class:`Poison` and :class:`Halt`; raise one of those."""

    # Of a subclass whose constructor does not call this one.
    code: str = "exception"
    """A metric label: one of a few, never made from data."""
    detail: str = ""
    """Goes to the dead letter."""

    def __init__(self, code: str, detail: str = "") -> None:
        if not isinstance(code, str) or not isinstance(detail, str):
            raise TypeError(f"{type(self).__name__}: code and detail must be str")
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class Poison(Failure):
    """This event can never succeed; the config says what becomes of it."""


class Halt(Failure):
    """The transform itself is unusable: stop and alert."""
