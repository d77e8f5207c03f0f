from __future__ import annotations

import json as library
import random
import unittest
from typing import Any, NoReturn

from relay_guest import Poison, json

SEEDS = (
    r""" { "a" : [ 1 , -2.50e+10 , true , false , null , "x\u00e9\n" ] , "b" : { } } """,
    r"""[{"k":"v\"\\\/","n":0.10,"deep":[[[[{}]]]]},"ünï",12345678901234567890.123]""",
    """{"a":[{"b":[{"c":[{"d":[{"e":1}]}]}]}],"f":-0}""",
    """{"c" : {"a" :1,"k": "b"}, "a":{"b": {"k" : 2 }, "x":{"b":1}}, "y": "k" }""",
)

NAMES = ("a", "b", "k")

# Empty: what stands there goes.
ALPHABET = ("", *'{}[]:,"\\u019.eE+- \ntfnaé\x01')


def refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def is_json(text: str) -> bool:
    try:
        library.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


def deep(text: str) -> json.Text:
    """As if it had more brackets than the library's scanner may see."""
    made = json.Text(text)
    made._scan = json.text.scan_deep
    return made


def walk(text: json.Text, at: int | None = None) -> Any:
    """The text's values as text, its members as pairs."""
    if text.bracket(at) == "{":
        return [(name, walk(text, value)) for name, _, _, value, _ in text.members(at)]
    if text.bracket(at) == "[":
        return [walk(text, value) for value, _ in text.elements(at)]
    if at is None:
        return text.text[text.root : text.check()]
    return text.text[at : text._scan(text.text, at)[1]]


def named(text: str, at: int | None = None, located: bool = True) -> Any:
    """The members named `a`, `b` or `k`, in and in."""
    read = json.Text(text)
    try:
        if read.bracket(at) != "{":
            return []
        found = read.members(at, NAMES) if located else (one for one in read.members(at) if one[0] in NAMES)
        return [(one, named(text, one[3], located)) for one in list(found)]
    except json.Invalid:
        return "invalid"


def is_accepted(text: json.Text, read: Any) -> bool:
    try:
        read(text)
    except json.Invalid:
        return False
    return True


class TheText(unittest.TestCase):
    def test_accepts_exactly_what_the_library_does(self) -> None:
        made = random.Random(1)
        counts = [0, 0]
        for _ in range(20_000):
            chars = list(made.choice(SEEDS))
            for _ in range(made.randrange(1, 4)):
                at = made.randrange(len(chars))
                chars[at : at + made.randrange(2)] = made.choice(ALPHABET)
            text = "".join(chars)
            expected = is_json(text)
            for reader in (json.Text, deep):
                self.assertEqual(is_accepted(reader(text), json.Text.check), expected, text)
                self.assertEqual(is_accepted(reader(text), walk), expected, text)
                if expected:
                    pairs = library.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
                    self.assertEqual(repr(values(walk(reader(text)))), repr(pairs), text)
                self.assertEqual(named(text), named(text, located=False), text)
            counts[expected] += 1
        self.assertGreater(min(counts), 1000)

    def test_depth_is_no_limit(self) -> None:
        for left, inner, right in (("[", "", "]"), ('{"a":', "1", "}"), ('[{"a": ', "[]", " } ]")):
            text = left * 100_000 + inner + right * 100_000
            self.assertEqual(json.Text(text).check(), len(text))
            for wrong in (text[1:], text[:-1], text + right, text[:-1] + "x"):
                with self.assertRaises(json.Invalid):
                    json.Text(wrong).check()

    def test_escaped_names_are_decoded(self) -> None:
        text = json.Text(r'{"em\u0061il":1,"\ud800":2}')
        self.assertEqual([name for name, *_ in text.members()], ["email", r"\ud800"])
        self.assertEqual(json.decode(r'"g\u006fld"'), "gold")
        for none in ("1", '"', r'"\ud800"', r'"\"', '"a"b"', '"\n"', r'"\u1"'):
            self.assertIsNone(json.decode(none))


def values(walked: Any) -> Any:
    if isinstance(walked, list):
        return [(one[0], values(one[1])) if isinstance(one, tuple) else values(one) for one in walked]
    return library.loads(walked, parse_int=str, parse_float=str)


class ThePath(unittest.TestCase):
    def test_parses(self) -> None:
        each = json.Path.EACH
        for text, steps in (
            ("a.b", ("a", "b")),
            ("a[].b", ("a", each, "b")),
            ("[][].b", (each, each, "b")),
            (r"a\.b\[", ("a.b[",)),
            (r"\[].b", ("[]", "b")),
        ):
            self.assertEqual(json.Path(text).steps, steps)
        for wrong in ("", ".", "a.", ".a", "a..b", "a[", "a[0]", "a[]b", "a.[]", "a\\", "[].", "\\"):
            with self.assertRaises(ValueError, msg=wrong):
                json.Path(wrong)

    def test_finds_the_text_of_values(self) -> None:
        text = ' {"a":{"b": 1.10},"l":[{"b":1},{"b":2},3], "a.b": "dot"} '
        self.assertEqual(json.Path("a.b").find(text), "1.10")
        self.assertEqual(json.Path(r"a\.b").find(text), '"dot"')
        self.assertIsNone(json.Path("l.b").find(text))
        self.assertIsNone(json.Path("a.b.c").find(text))
        self.assertEqual(json.Path("l[].b").values(text), ["1", "2"])

    def test_of_a_repeated_key_the_last_counts(self) -> None:
        text = '{"a":{"b":1},"a":{"c":2}}'
        self.assertIsNone(json.Path("a.b").find(text))
        self.assertEqual(json.Path("a.c").find(text), "2")

    def test_checks_what_it_does_not_look_at(self) -> None:
        for wrong in ('{"a":1,"b":}', '{"a":1} x', "", "[1", "3 4", '{"a":NaN}', "\ufeff{}"):
            with self.assertRaises(json.Invalid, msg=wrong):
                json.Path("a").find(wrong)


class TheTree(unittest.TestCase):
    def test_keeps_digits(self) -> None:
        text = '{"n":12345678901234567890.10,"m":1.10,"e":1E+400,"z":-0,"l":%s,"i":12345678901234567890123}' % ("9" * 5000)
        self.assertEqual(json.dumps(json.loads(text)), text)
        self.assertEqual(json.loads("1.10") * 2, 2.2)

    def test_escapes_only_what_must_be(self) -> None:
        self.assertEqual(json.dumps(json.loads(r'"\u00e9\/\u0001\ud83d\ude00\n"')), '"é/\\u0001😀\\n"')

    def test_refuses(self) -> None:
        for wrong in ("", "NaN", "[1,]", '"\\ud800"', r'["\\\ud83dx"]', "[" * 128 + "]" * 128, "{'a':1}", "01", "\ufeff{}"):
            with self.assertRaises(json.Invalid, msg=wrong):
                json.loads(wrong)
        json.loads("[" * 127 + "]" * 127)
        json.loads(r'"\\ud800 \ud83d\ude00"')
        for value in (float("nan"), {1: 2}, {"a": object()}, {1, 2}):
            with self.assertRaises(Poison) as raised:
                json.dumps(value)
            self.assertEqual(raised.exception.code, "unserialisable")
