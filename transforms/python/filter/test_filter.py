from __future__ import annotations

import json
import unittest
from typing import Any

from relay_guest import PASS, Drop, Event, Failure, Halt, Operation, Poison, SettingsError, Unused, _transform, drop
from relay_guest.testing import create, event

from filter import Filter


def kept(settings: dict[str, Any] | str, one: Event) -> bool:
    outcome = create(Filter, settings)(one)
    assert outcome is PASS or (isinstance(outcome, Drop) and outcome.reason)
    return outcome is PASS


class Filtering(unittest.TestCase):
    def test_keeps_what_meets_a_condition(self) -> None:
        settings = {"keep": [{"event-type": ["A", "B"]}, {"entity": ["x"], "operation": ["delete"]}]}
        self.assertTrue(kept(settings, event(entity="x", event_type="B")))
        self.assertFalse(kept(settings, event(entity="x", event_type="C")))
        self.assertTrue(kept(settings, event(entity="x", operation=Operation.DELETE)))
        self.assertEqual(create(Filter, settings)(event()), drop("not-kept"))

    def test_drop_wins_over_keep(self) -> None:
        settings = {"keep": [{"entity": ["x"]}], "drop": [{"event-type": ["Test"]}]}
        self.assertTrue(kept(settings, event(entity="x")))
        self.assertEqual(create(Filter, settings)(event(entity="x", event_type="Test")), drop("dropped"))

    def test_compares_values_as_json_readers_do(self) -> None:
        for wanted, found, equal in (
            ('"gold"', r'"g\u006fld"', True),
            ("1", "1.0", True),
            ("1.1", "1.10", True),
            ("9007199254740993", "9007199254740993", True),
            ("9007199254740993", "9007199254740992", False),
            ("9007199254740993", "9007199254740992.0", True),
            ("18446744073709551616", "18446744073709551617", True),
            ("0", "-0", True),
            ("1", '"1"', False),
            ("1", "true", False),
            ("1", "1e400", False),
            ("[1]", "[1,1e400]", False),
            ("null", "null", True),
            ('"x"', r'"\ud800"', False),
            ('{"x":1,"y":[2]}', '{"y":[2.0],"x":1}', True),
            ('{"x":1}', '{"x":1,"y":2}', False),
        ):
            settings = f'{{"keep":[{{"field":"a","equals":{wanted}}}]}}'
            self.assertEqual(kept(settings, event(f'{{"a":{found}}}')), equal, (wanted, found))

    def test_fields(self) -> None:
        one_of = {"keep": [{"field": "items[].sku", "in": ["a", "b"]}]}
        self.assertTrue(kept(one_of, event('{"items":[{"sku":"z"},{"sku":"b"}]}')))
        self.assertFalse(kept(one_of, event('{"items":[{"sku":"z"}]}')))
        self.assertFalse(kept({"keep": [{"field": "a", "in": []}]}, event('{"a":1}')))
        exists = {"keep": [{"field": "a.b", "exists": True}]}
        self.assertTrue(kept(exists, event('{"a":{"b":null}}')))
        self.assertFalse(kept(exists, event('{"a":1}')))
        absent = {"drop": [{"field": "a", "exists": False}]}
        self.assertTrue(kept(absent, event('{"a":1}')))
        self.assertFalse(kept(absent, event()))
        with self.assertRaisesRegex(Poison, "invalid-json"):
            kept(absent, event("{"))

    def test_the_payload_is_read_only_if_the_rest_holds(self) -> None:
        settings = {"drop": [{"entity": ["x"], "field": "a", "exists": True}]}
        self.assertTrue(kept(settings, event("not json")))
        with self.assertRaises(Poison):
            kept(settings, event("not json", entity="x"))
        self.assertEqual(_transform.make(Filter, settings).unused, Unused(before=True, headers=True))
        self.assertTrue(_transform.make(Filter, {"keep": [{"entity": ["x"]}]}).unused.payload)

    def test_what_is_not_json_is_poison_or_halts(self) -> None:
        drop_a: dict[str, Any] = {"drop": [{"entity": ["x"], "field": "a", "exists": True}]}
        for invalid, kind in (({}, Poison), ({"invalid": "poison"}, Poison), ({"invalid": "halt"}, Halt)):
            for payload in ("{", b"\xff"):
                with self.assertRaises(Failure) as raised:
                    kept({**drop_a, **invalid}, event(payload, entity="x"))
                self.assertIsInstance(raised.exception, kind)
                self.assertEqual(raised.exception.code, "invalid-json")
            self.assertTrue(kept({**drop_a, **invalid}, event("{")))

    def test_settings_are_refused_by_name(self) -> None:
        for settings, named in (
            ({}, "`keep`"),
            ({"keep": [{}]}, r"keep\[0\]"),
            ({"drop": [{"type": ["A"]}]}, "`type`"),
            ({"drop": [{"operation": ["upsert"]}]}, r"drop\[0\].operation\[0\]"),
            ({"drop": [{"field": "a"}]}, "`exists`"),
            ({"drop": [{"field": "a", "exists": True, "equals": 1}]}, "one of"),
            ({"drop": [{"equals": 1}]}, "`field`"),
            ({"drop": [{"equals": None}]}, "`field`"),
            ({"keep": [{"entity": ["x"]}], "invalid": "skip"}, "invalid: `\"skip\"` is not `poison` or `halt`"),
        ):
            with self.assertRaisesRegex(SettingsError, named):
                create(Filter, json.dumps(settings))
