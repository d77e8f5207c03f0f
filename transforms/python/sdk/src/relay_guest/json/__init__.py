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

from .grammar import INVALID, Invalid
from .path import Path
from .text import Member, Text, decode
from .tree import DEPTH_MAX, Number, dumps, loads

__all__ = ["DEPTH_MAX", "INVALID", "Invalid", "Member", "Number", "Path", "Text", "decode", "dumps", "loads"]
