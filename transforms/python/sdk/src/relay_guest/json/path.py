"""Paths, and the values they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .text import Text


class Path:
    """Where a value stands: ``customer.email``, ``items[].note``, ``[].id``.

    Names are parted by ``.``; ``[]`` is every element of an array, and an array
    is never entered without it. A backslash takes the next character as it is:
    ``a\\.b`` is one name.

    Raises ``ValueError`` for a text that is no path.
    """

    __slots__ = ("steps", "text")

    EACH: Final = None
    """The step into every element; every other step is a name."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps: tuple[str | None, ...] = tuple(_steps(text))

    def __repr__(self) -> str:
        return f"Path({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash(self.steps)

    @property
    def is_plural(self) -> bool:
        """Whether it can mean more than one value."""
        return Path.EACH in self.steps

    def find(self, text: str) -> str | None:
        """The JSON text of the value, the last one of a plural path. All of the
        text is checked, found or not."""
        values = self.values(text)
        return values[-1] if values else None

    def values(self, text: str) -> list[str]:
        """The JSON text of each value the path means, in order. Of a repeated
        key the last value counts, as JSON readers have it. All of the text is
        checked."""
        found: list[str] = []
        _find(self.steps, Text(text), None, found)
        return found


def _find(steps: tuple[str | None, ...], text: Text, span: tuple[int, int] | None, found: list[str]) -> None:
    """`span` is that of a value below the root."""
    if span and not steps:
        found.append(text.text[span[0] : span[1]])
        return
    at = span[0] if span else None
    start = text.bracket(at)
    step, rest = steps[0], steps[1:]
    if step is not None and start == "{":
        last = None
        for _, _, _, value, end in text.members(at, (step,)):
            last = value, end
        if last:
            _find(rest, text, last, found)
    elif step is None and start == "[":
        for element in text.elements(at):
            _find(rest, text, element, found)
    elif at is None:
        text.check()


_name = re.compile(r"(?:\\.|[^\\.\[])(?:\\.|[^\\.\[])*+", re.DOTALL).match


def _steps(text: str) -> Iterator[str | None]:
    at = 0
    while True:
        if at == 0 and text.startswith("["):
            pass  # the payload itself is the array
        elif found := _name(text, at):
            yield re.sub(r"\\(.)", r"\1", found.group(), flags=re.DOTALL)
            at = found.end()
        elif text.startswith("\\", at):
            raise ValueError(r"`\` must be followed by a character")
        elif text.startswith("[", at):
            raise ValueError("`[` must be followed by `]`, and that by `.`, `[]` or the end")
        else:
            raise ValueError("a path has no empty name: write it like `customer.email`")
        while text.startswith("[]", at):
            yield Path.EACH
            at += 2
        if at == len(text):
            return
        if text[at] == "\\":
            raise ValueError(r"`\` must be followed by a character")
        if text[at] != ".":
            raise ValueError("`[` must be followed by `]`, and that by `.`, `[]` or the end")
        at += 1
