from __future__ import annotations

import unittest
from dataclasses import dataclass
from typing import Any

from relay_guest import (
    PASS,
    Event,
    Header,
    Message,
    Operation,
    Outcome,
    Poison,
    SettingsError,
    Unused,
    drop,
    drop_if,
    map_json,
    map_object,
    route,
    transform,
)
from relay_guest import _transform as inner
from relay_guest.testing import create, event


@dataclass
class Settings:
    topic: str


@transform(unused=Unused(before=True))
def function(event: Event, settings: Settings) -> Outcome:
    return route(settings.topic)


@transform
def bare(event: Event) -> Outcome:
    return PASS


@transform
class Class:
    def __init__(self, settings: Settings) -> None:
        if not settings.topic:
            raise ValueError("`topic` is empty")
        self.topic = settings.topic

    def unused(self) -> Unused:
        return Unused(payload=self.topic == "t")

    def apply(self, event: Event) -> Outcome:
        return route(self.topic)


@transform
class Stateless:
    def apply(self, event: Event) -> Outcome:
        return PASS


class Making(unittest.TestCase):
    def test_of_functions_and_classes(self) -> None:
        target: Any
        for target in (function, Class):
            self.assertEqual(create(target, {"topic": "t"})(event()), Message(topic="t"))
            with self.assertRaisesRegex(SettingsError, "`topic`"):
                create(target)
        for target in (bare, Stateless):
            self.assertEqual(create(target)(event()), PASS)
            with self.assertRaisesRegex(SettingsError, "`topic`"):
                create(target, {"topic": "t"})
        with self.assertRaisesRegex(SettingsError, "`topic` is empty"):
            create(Class, {"topic": ""})

    def test_what_is_unused(self) -> None:
        self.assertEqual(inner.make(function, {"topic": "t"}).unused, Unused(before=True))
        self.assertEqual(inner.make(Class, {"topic": "t"}).unused, Unused(payload=True))
        self.assertEqual(inner.make(bare, "").unused, Unused())

    def test_unused_is_checked(self) -> None:
        class Wrong(Stateless):
            def unused(self) -> None:
                pass

        with self.assertRaisesRegex(TypeError, "None, not an Unused"):
            inner.make(Wrong, "")

    def test_a_failure_always_has_a_code(self) -> None:
        class Silent(Poison):
            def __init__(self) -> None:
                pass

        self.assertEqual((Silent().code, Silent().detail), ("exception", ""))

    def test_needs_a_function_or_class(self) -> None:
        with self.assertRaises(TypeError):
            transform(3)  # type: ignore[call-overload]


class TheEvent(unittest.TestCase):
    def test_reads(self) -> None:
        one = Event("1", key=b"k", headers=[Header("a", b"1"), Header("a", b"\xff"), Header("a", None)])
        self.assertEqual(one.key_text(), "k")
        self.assertEqual(one.header("a"), b"\xff")
        self.assertIsNone(one.header_text("a"))
        self.assertIsNone(one.header("b"))
        self.assertEqual(event('{"a":[1]}').json(), {"a": [1]})
        for payload, code in ((None, "no-payload"), ("{", "invalid-json"), (b"\xff", "invalid-json")):
            with self.assertRaises(Poison) as raised:
                event(payload).json()
            self.assertEqual(raised.exception.code, code)


def mark(tree: Any) -> None:
    tree["seen"] = True


class Helpers(unittest.TestCase):
    def test_map_json_edits_and_keeps_order(self) -> None:
        self.assertEqual(map_json(event('{"b": 1, "a": [1.50]}'), mark), Message('{"b":1,"a":[1.50],"seen":true}'))

    def test_map_json_passes_what_stays(self) -> None:
        for text in ('{ "n" : 12345678901234567890.123, "m" : [1.10] }', "3", "[ 1 ]", '{"a":1,"a":2}', r'"\u0061"'):
            self.assertEqual(map_json(event(text), lambda tree: None), PASS, text)
        self.assertEqual(map_json(event(), mark), PASS)
        self.assertEqual(map_json(Event("1", operation=Operation.DELETE, payload=b"{}"), mark), PASS)

    def test_map_json_sees_changes_of_any_kind(self) -> None:
        def deep(tree: Any) -> None:
            tree["a"][0] = True

        def order(tree: Any) -> None:
            tree["a"] = tree.pop("a")

        def kind(tree: Any) -> None:
            tree["b"] = 1.0

        text = '{"a": [1], "b": 1}'
        self.assertEqual(map_json(event(text), deep), Message('{"a":[true],"b":1}'))
        self.assertEqual(map_json(event(text), order), Message('{"b":1,"a":[1]}'))
        self.assertEqual(map_json(event(text), kind), Message('{"a":[1],"b":1.0}'))

    def test_map_json_takes_another_outcome(self) -> None:
        self.assertEqual(map_json(event("{}"), lambda tree: drop("x")), drop("x"))

    def test_map_object(self) -> None:
        self.assertEqual(map_object(event("[]"), mark), PASS)
        self.assertEqual(map_object(event("{}"), mark), Message('{"seen":true}'))
        with self.assertRaisesRegex(Poison, "invalid-json"):
            map_object(event("{"), mark)

    def test_drop_if(self) -> None:
        self.assertEqual(drop_if(True, "r"), drop("r"))
        self.assertEqual(drop_if(False, "r"), PASS)
