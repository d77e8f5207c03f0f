"""JSON by its text: finding and checking values without building them.

A transform that moves, masks or looks at a few values keeps every other
character as it was: digits of numbers, escapes, order, repeated keys, white
space. Where a tree is wanted, :func:`loads` and :func:`dumps` keep at least the
digits of numbers.

A loop over characters in Python is slow, so what can be is left to C: the
library's scanner finds where a value ends. It recurses, and a stack overrun
would be a trap; texts that might nest that deep go through regular expressions
and a loop, so depth costs no recursion.
"""

from __future__ import annotations

import json as _json
import re
from collections.abc import Collection, Iterator
from itertools import islice
from json.decoder import scanstring as _scanstring  # type: ignore[attr-defined]
from json.encoder import encode_basestring as _quote
from operator import itemgetter
from typing import Any, Final, NoReturn

from .failure import Poison

INVALID = "invalid-json"
"""Failure code of a payload that is not JSON."""

DEPTH_MAX = 127
"""How deep the trees of :func:`loads` nest. Text has no such limit."""

# So few brackets cannot overrun the guest's stack, which holds some 700.
_SHALLOW = 256

# The grammar of RFC 8259. Possessive throughout: nothing is ever tried twice,
# so time is linear.
_WS = r"[ \t\n\r]*+"
_STRING = r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_NUMBER = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_SCALAR = rf"{_STRING}|{_NUMBER}|true|false|null"
_KEY = rf"{_STRING}{_WS}:{_WS}"


def _nested(levels: int) -> str:
    """A value with at most so many containers in each other."""
    if levels == 0:
        return _SCALAR
    inner = _nested(levels - 1)
    members = rf"(?:{_KEY}(?:{inner}){_WS}(?:,{_WS}(?=\")|(?=\}})))*+"
    elements = rf"(?:(?:{inner}){_WS}(?:,{_WS}(?!\])|(?=\])))*+"
    return rf"{_SCALAR}|\{{{_WS}{members}\}}|\[{_WS}{elements}\]"


_value = re.compile(_nested(4)).match
_flat = re.compile(_nested(1)).match
_key = re.compile(_KEY).match
_blank = re.compile(_WS).match
_open = rf"\[{_WS}|\{{{_WS}{_KEY}"
_one_opening = re.compile(rf"(?:{_open})(?!\])").match
_openings = re.compile(rf"(?:(?:{_open})(?=[\[{{]))*+").match
_opening_all = re.compile(_open).findall
_closings = re.compile(rf"(?:{_WS}[\]}}])*+").match
_closing_all = re.compile(r"[\]}]").finditer
# Each surrogate in its pair; looked at only where the text has one.
_paired = re.compile(r"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])....|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+").fullmatch


class Invalid(Poison):
    """Text that is not JSON, and where: poison ``invalid-json``."""

    def __init__(self, at: int, expected: str) -> None:
        super().__init__(INVALID, f"payload: expected {expected} at character {at}")
        self.at = at


Member = tuple[str, int, int, int, int]
"""A member of an object: its name, and the ends of its key (with quotes) and of
its value as offsets into the text.

The name has its escapes decoded, so that ``"em\\u0061il"`` is ``email``. One that
has no UTF-8 form (a lone surrogate) is left as written."""


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# Only ends are wanted, so numbers are not converted.
_scan = _json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse).scan_once  # type: ignore[attr-defined]


_second = itemgetter(1)
_BLANKS = frozenset(" \n\r\t")


def _scan_deep(text: str, at: int) -> tuple[None, int]:
    """As the library's scanner, for any depth."""
    found = _value(text, at)
    return None, found.end() if found else _deep(text, at)


class Text:
    """A text that is to be JSON. It is checked as far as it is read:
    :meth:`check` reads all of it, and so do :meth:`members` and
    :meth:`elements` of its root, once they are through."""

    __slots__ = ("_scan", "root", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = _end(_blank(text)) if text[:1] in _BLANKS else 0
        """Where the one value begins."""
        self._scan = _scan if text.count("{") + text.count("[") <= _SHALLOW else _scan_deep

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
                end = key = _end(_blank(text, key))
            more = text[key] != "}"
            while more:
                if text[key] != '"':
                    raise Invalid(key, "a key")
                name, key_end = _scanstring(text, key + 1)
                value = key_end
                if text[value] in blanks:
                    value = _end(_blank(text, value))
                if text[value] != ":":
                    raise Invalid(value, "`:`")
                value += 1
                if text[value] in blanks:
                    value = _end(_blank(text, value))
                if not name.isascii() and _has_surrogate(name):
                    name = text[key + 1 : key_end - 1]
                end = value_end = scan(text, value)[1]
                if only is None or name in only:
                    yield name, key, key_end, value, value_end
                if text[end] in blanks:
                    end = _end(_blank(text, end))
                more = text[end] == ","
                if more:
                    key = end + 1
                    if text[key] in blanks:
                        key = _end(_blank(text, key))
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
                end = start = _end(_blank(text, start))
            more = text[start] != "]"
            while more:
                end = scan(text, start)[1]
                yield start, end
                if text[end] in blanks:
                    end = _end(_blank(text, end))
                more = text[end] == ","
                if more:
                    start = end + 1
                    if text[start] in blanks:
                        start = _end(_blank(text, start))
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
        if scan is _scan_deep or "\\" in text:
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
                    value = _end(_blank(text, value))
                value += 1
                if text[value] in blanks:
                    value = _end(_blank(text, value))
                found.append((name, key, key_end, value, scan(text, value)[1]))
        found.sort(key=_second)
        return found

    def _finish(self, end: int) -> None:
        if end != len(self.text):
            end = _end(_blank(self.text, end))
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
    if "\\" not in literal:
        return literal[1:-1]
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


def _end(found: re.Match[str] | None) -> int:
    """The end of a match of a pattern that matches the empty text, too."""
    assert found
    return found.end()


def _deep(text: str, at: int, limit: int | None = None) -> int:
    """The end of a value of any depth; what is deeper than the limit is refused."""
    waiting: list[str] = []  # the brackets that will close what is open
    while True:
        # Runs first: a hostile text is nothing but brackets.
        end = _end(_openings(text, at))
        waiting += ["]" if one[0] == "[" else "}" for one in _opening_all(text, at, end)]
        at = end
        leaf = _flat(text, at)
        if limit is not None and len(waiting) + bool(leaf and text[at] in "[{") > limit:
            raise Invalid(at, f"no more than {limit} containers in each other")
        if not leaf:
            one = _one_opening(text, at)
            if not one:
                raise Invalid(at, "a value")
            waiting += "]" if text[at] == "[" else "}"
            at = one.end()
            continue
        at = leaf.end()
        end = _end(_closings(text, at))
        closed = "".join(text[at:end].split())[: len(waiting)]
        if closed:
            if closed != "".join(waiting[: -len(closed) - 1 : -1]):
                raise Invalid(at, "brackets that match")
            del waiting[-len(closed) :]
            if len(closed) < end - at:  # white space between, or brackets of outside
                end = next(islice(_closing_all(text, at), len(closed) - 1, None)).end()
            at = end
        if not waiting:
            return at
        at = _end(_blank(text, at))
        if not text.startswith(",", at):
            raise Invalid(at, f"`,` or `{waiting[-1]}`")
        at = _end(_blank(text, at + 1))
        if waiting[-1] == "}":
            colon = _key(text, at)
            if not colon:
                raise Invalid(at, "a key and `:`")
            at = colon.end()


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


class Number(float):
    """A number that remembers its digits (``1.10``,
    ``12345678901234567890.10``); what is computed with it does not."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Number:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __repr__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        return Number, (self.text,)


def _number(text: str) -> float:
    # A plain float will do where it is written the same again.
    value = float(text)
    return value if repr(value) == text else Number(text)


def _integer(text: str) -> int | Number:
    # The integer 0 has no sign, and Python refuses to read very long ones.
    return Number(text) if text == "-0" or len(text) > _LONG else int(text)


_LONG = 4000
_decode = _json.JSONDecoder(parse_float=_number, parse_constant=_refuse).decode
_decode_any = _json.JSONDecoder(parse_float=_number, parse_int=_integer, parse_constant=_refuse).decode


def loads(text: str) -> Any:
    """The tree of a JSON text. Integers are ``int``, other numbers ``float``, or
    :class:`Number` where a float would lose digits; of a repeated key the last
    value counts.

    Raises :class:`Invalid`, also for what nests deeper than :data:`DEPTH_MAX`
    and for strings without UTF-8 form.
    """
    if text.count("[") + text.count("{") > DEPTH_MAX:
        start = _end(_blank(text))
        if not _value(text, start):
            _deep(text, start, DEPTH_MAX)
    try:
        value = (_decode_any if len(text) > _LONG or "-0" in text else _decode)(text)
    except _json.JSONDecodeError as error:
        raise Invalid(error.pos, f"JSON ({error.msg})") from None
    except ValueError as error:
        raise Invalid(0, f"JSON ({error})") from None
    if ("\\ud" in text or "\\uD" in text) and not _paired(text):
        raise Invalid(0, "strings with a UTF-8 form")
    return value


def dumps(value: Any) -> str:
    """A tree as JSON text without white space; poison ``unserialisable`` if it
    has no JSON form."""
    try:
        return _write(value)
    except TypeError as error:
        # From the library's function for strings, for a key that is none.
        raise Poison("unserialisable", f"a name in an object must be a str: {error}") from None


def _write(value: Any) -> str:
    # The library's encoder runs in C, but knows no number with its own digits.
    kind = type(value)
    if kind is str:
        return _quote(value)
    if kind is dict:
        members = [f"{_quote(name)}:{_quote(item) if type(item) is str else _write(item)}" for name, item in value.items()]
        return "{" + ",".join(members) + "}"
    if kind is list or kind is tuple:
        return "[" + ",".join([_quote(item) if type(item) is str else _write(item) for item in value]) + "]"
    if kind is int:
        return repr(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is Number:
        return str(value.text)
    return _write_other(value)


def _write_other(value: Any) -> str:
    if isinstance(value, float):
        if value - value != 0:
            raise Poison("unserialisable", f"JSON has no {value!r}")
        return float.__repr__(value)
    plain: Any
    for plain in (str, int, dict, list, tuple):
        if isinstance(value, plain):
            return _write(plain(value))
    raise Poison("unserialisable", f"{type(value).__name__} has no JSON form")
