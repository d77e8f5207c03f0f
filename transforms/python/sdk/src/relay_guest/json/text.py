"""JSON text that is read where it stands."""

from __future__ import annotations

import json as _json
from collections.abc import Collection, Iterator
from json.decoder import scanstring as _scanstring  # type: ignore[attr-defined]
from operator import itemgetter

from .grammar import Invalid, blank_at, deep_end, end_of, refuse, value_at

# So few brackets cannot overrun the guest's stack, which holds some 700.
_SHALLOW = 256

Member = tuple[str, int, int, int, int]
"""A member of an object: its name, and the ends of its key (with quotes) and of
its value as offsets into the text.

The name has its escapes decoded, so that ``"em\\u0061il"`` is ``email``. One that
has no UTF-8 form (a lone surrogate) is left as written."""

# Only ends are wanted, so numbers are not converted.
_scan = _json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=refuse).scan_once  # type: ignore[attr-defined]


_second = itemgetter(1)
_BLANKS = frozenset(" \n\r\t")


def scan_deep(text: str, at: int) -> tuple[None, int]:
    """As the library's scanner, for any depth."""
    found = value_at(text, at)
    return None, found.end() if found else deep_end(text, at)


class Text:
    """A text that is to be JSON. It is checked as far as it is read:
    :meth:`check` reads all of it, and so do :meth:`members` and
    :meth:`elements` of its root, once they are through."""

    __slots__ = ("_scan", "root", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = end_of(blank_at(text)) if text[:1] in _BLANKS else 0
        """Where the one value begins."""
        self._scan = _scan if text.count("{") + text.count("[") <= _SHALLOW else scan_deep

    def bracket(self, at: int | None = None) -> str:
        """The first character of the root, or of the value at an offset: `{` of
        an object, `[` of an array."""
        at = self.root if at is None else at
        return self.text[at : at + 1]

    def check(self) -> int:
        """The end of the root; raises :class:`Invalid` if the text is no JSON."""
        try:
            end = self._scan(self.text, self.root)[1]
            self._finish(end)
        except (StopIteration, ValueError) as error:
            raise _invalid(error, self.root) from None
        return end

    def members(self, at: int | None = None, only: Collection[str] | None = None) -> Iterator[Member]:
        """The members of the root, or of the object that begins at an offset
        of text that was read before; of those names only, if given, which is
        faster."""
        # A loop over few characters, but many members: every call tells.
        text, scan, blanks = self.text, self._scan, _BLANKS
        end = key = (self.root if at is None else at) + 1
        try:
            if only is not None:
                located = self._locate(at, only)
                if located is not None:
                    yield from located
                    return
            if text[key] in blanks:
                end = key = end_of(blank_at(text, key))
            more = text[key] != "}"
            while more:
                if text[key] != '"':
                    raise Invalid(key, "a key")
                name, key_end = _scanstring(text, key + 1)
                value = key_end
                if text[value] in blanks:
                    value = end_of(blank_at(text, value))
                if text[value] != ":":
                    raise Invalid(value, "`:`")
                value += 1
                if text[value] in blanks:
                    value = end_of(blank_at(text, value))
                if not name.isascii() and _has_surrogate(name):
                    name = text[key + 1 : key_end - 1]
                end = value_end = scan(text, value)[1]
                if only is None or name in only:
                    yield name, key, key_end, value, value_end
                if text[end] in blanks:
                    end = end_of(blank_at(text, end))
                more = text[end] == ","
                if more:
                    key = end + 1
                    if text[key] in blanks:
                        key = end_of(blank_at(text, key))
                elif text[end] != "}":
                    raise Invalid(end, "`,` or `}`")
            if at is None:
                self._finish(end + 1)
        except (IndexError, ValueError, StopIteration) as error:
            raise _invalid(error, end) from None

    def elements(self, at: int | None = None) -> Iterator[tuple[int, int]]:
        """The ends of each element of the root, or of the array that begins at
        an offset of text that was read before."""
        text, scan, blanks = self.text, self._scan, _BLANKS
        end = start = (self.root if at is None else at) + 1
        try:
            if text[start] in blanks:
                end = start = end_of(blank_at(text, start))
            more = text[start] != "]"
            while more:
                end = scan(text, start)[1]
                yield start, end
                if text[end] in blanks:
                    end = end_of(blank_at(text, end))
                more = text[end] == ","
                if more:
                    start = end + 1
                    if text[start] in blanks:
                        start = end_of(blank_at(text, start))
                elif text[end] != "]":
                    raise Invalid(end, "`,` or `]`")
            if at is None:
                self._finish(end + 1)
        except (IndexError, ValueError, StopIteration) as error:
            raise _invalid(error, end) from None

    def _locate(self, at: int | None, only: Collection[str]) -> list[Member] | None:
        """The members of those names without a look at the others: where a
        name stands only once and the object has it, there it is. ``None`` if
        that cannot be told."""
        text, scan, blanks = self.text, self._scan, _BLANKS
        if scan is scan_deep or "\\" in text:
            return None
        start, end, tree = self.root, len(text), None
        if at is not None:
            start = at
            tree, end = scan(text, at)
        places = {}
        for name in only:
            key = places[name] = text.find(f'"{name}"', start, end)
            if key >= 0 and text.find(f'"{name}"', key + 1, end) >= 0:
                return None
        if at is None:
            tree, end = scan(text, start)
            self._finish(end)
        if type(tree) is not dict:
            return None
        found = []
        for name, key in places.items():
            if name in tree:
                key_end = value = key + len(name) + 2
                if text[value] in blanks:
                    value = end_of(blank_at(text, value))
                value += 1
                if text[value] in blanks:
                    value = end_of(blank_at(text, value))
                found.append((name, key, key_end, value, scan(text, value)[1]))
        found.sort(key=_second)
        return found

    def _finish(self, end: int) -> None:
        if end != len(self.text):
            end = end_of(blank_at(self.text, end))
            if end != len(self.text):
                raise Invalid(end, "the end")


def _invalid(error: Exception, at: int) -> Invalid:
    if isinstance(error, StopIteration):
        return Invalid(error.value, "a value")
    if isinstance(error, _json.JSONDecodeError):
        return Invalid(error.pos, f"JSON ({error.msg})")
    return Invalid(at, "more" if isinstance(error, IndexError) else f"JSON ({error})")


def decode(literal: str) -> str | None:
    """The value of a JSON string literal, quotes included; ``None`` for any
    other value and for escapes without UTF-8 form (a lone surrogate)."""
    if len(literal) < 2 or literal[0] != '"' or literal[-1] != '"':
        return None
    try:
        value, end = _scanstring(literal, 1)
    except ValueError:
        return None
    return value if end == len(literal) and not _has_surrogate(value) else None


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
