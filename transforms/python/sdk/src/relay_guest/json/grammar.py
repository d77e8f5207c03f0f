"""What is JSON: its grammar, and where a value of any depth ends."""

from __future__ import annotations

import re
import sys
from itertools import islice
from typing import NoReturn

from ..failure import Poison

if sys.version_info < (3, 11, 5):
    raise ImportError(
        "relay_guest needs Python 3.11.5 or newer outside of a component: the regular"
        " expressions of older ones stop too early (gh-106052)"
    )

INVALID = "invalid-json"
"""Failure code of a payload that is not JSON."""

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


value_at = re.compile(_nested(4)).match
_flat = re.compile(_nested(1)).match
_key = re.compile(_KEY).match
blank_at = re.compile(_WS).match
_open = rf"\[{_WS}|\{{{_WS}{_KEY}"
_one_opening = re.compile(rf"(?:{_open})(?!\])").match
_openings = re.compile(rf"(?:(?:{_open})(?=[\[{{]))*+").match
_opening_all = re.compile(_open).findall
_closings = re.compile(rf"(?:{_WS}[\]}}])*+").match
_closing_all = re.compile(r"[\]}]").finditer


class Invalid(Poison):
    """Text that is not JSON, and where: poison ``invalid-json``."""

    def __init__(self, at: int, expected: str) -> None:
        super().__init__(INVALID, f"payload: expected {expected} at character {at}")
        self.at = at


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def end_of(found: re.Match[str] | None) -> int:
    """The end of a match of a pattern that matches the empty text, too."""
    assert found
    return found.end()


def deep_end(text: str, at: int, limit: int | None = None) -> int:
    """The end of a value of any depth; what is deeper than the limit is refused."""
    waiting: list[str] = []  # the brackets that will close what is open
    while True:
        # Runs first: a hostile text is nothing but brackets.
        end = end_of(_openings(text, at))
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
        end = end_of(_closings(text, at))
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
        at = end_of(blank_at(text, at))
        if not text.startswith(",", at):
            raise Invalid(at, f"`,` or `{waiting[-1]}`")
        at = end_of(blank_at(text, at + 1))
        if waiting[-1] == "}":
            colon = _key(text, at)
            if not colon:
                raise Invalid(at, "a key and `:`")
            at = colon.end()
