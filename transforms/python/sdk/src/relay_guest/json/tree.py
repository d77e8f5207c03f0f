"""JSON as a tree, with the digits of its numbers."""

from __future__ import annotations

import json as _json
import re
from json.encoder import encode_basestring as _quote
from typing import Any

from ..failure import Poison
from .grammar import Invalid, blank_at, deep_end, end_of, refuse, value_at

DEPTH_MAX = 127
"""How deep the trees of :func:`loads` nest. Text has no such limit."""

# Each surrogate in its pair; looked at only where the text has one.
_paired = re.compile(r"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])....|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+").fullmatch


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
_decode = _json.JSONDecoder(parse_float=_number, parse_constant=refuse).decode
_decode_any = _json.JSONDecoder(parse_float=_number, parse_int=_integer, parse_constant=refuse).decode


def loads(text: str) -> Any:
    """The tree of a JSON text. Integers are ``int``, other numbers ``float``, or
    :class:`Number` where a float would lose digits; of a repeated key the last
    value counts.

    Raises :class:`Invalid`, also for what nests deeper than :data:`DEPTH_MAX`
    and for strings without UTF-8 form.
    """
    if text.count("[") + text.count("{") > DEPTH_MAX:
        start = end_of(blank_at(text))
        if not value_at(text, start):
            deep_end(text, start, DEPTH_MAX)
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
