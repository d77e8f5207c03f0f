from __future__ import annotations

import json
import unittest
from typing import Any

from relay_guest import PASS, Message, Poison, SettingsError
from relay_guest.testing import create, event

from redact import Redact


class Redacting(unittest.TestCase):
    def edited(self, settings: dict[str, Any], payload: str) -> str:
        outcome = create(Redact, settings)(event(payload))
        if outcome is PASS:
            return payload
        assert isinstance(outcome, Message) and isinstance(outcome.payload, str)
        self.assertNotEqual(outcome.payload, payload, "an untouched payload must pass")
        return outcome.payload

    def test_masks_by_path(self) -> None:
        settings = {"fields": ["card", "customer.email", "items[].note"]}
        payload = '{"id":1, "card":"4111","customer":{"name":"A","email":["x"]},"items":[{"note":1,"n":2},{"note":{}},3]}'
        expected = '{"id":1, "card":"***","customer":{"name":"A","email":"***"},"items":[{"note":"***","n":2},{"note":"***"},3]}'
        self.assertEqual(self.edited(settings, payload), expected)

    def test_keeps_every_other_character(self) -> None:
        payload = '\n{ "n" : 12345678901234567890.123 , "m":1.10,"e":1E+400,"s":"\\u00e9\\/","d":1,"d":2, "x" :\t9 }\n'
        self.assertEqual(self.edited({"fields": ["x"]}, payload), payload.replace("\t9 ", '\t"***" '))

    def test_knows_a_key_however_written_and_however_often(self) -> None:
        payload = r'{"c\u0061rd":1,"card":2,"card2":3}'
        expected = r'{"c\u0061rd":null,"card":null,"card2":3}'
        self.assertEqual(self.edited({"fields": ["card"], "replace": None}, payload), expected)

    def test_replaces_with_any_value(self) -> None:
        self.assertEqual(self.edited({"fields": ["a"], "replace": {"masked": True}}, '{"a":1}'), '{"a":{"masked":true}}')
        self.assertEqual(self.edited({"fields": ["[].a"], "replace": 0}, '[{"a":1}]'), '[{"a":0}]')

    def test_removes_members_with_their_commas(self) -> None:
        text = '{ "a":1 , "b":{"x":2}, "c":[3] ,"d":"4" }'
        for removed in range(1, 16):
            fields = [name for bit, name in enumerate("abcd") if removed >> bit & 1]
            expected = {name: value for name, value in json.loads(text).items() if name not in fields}
            edited = self.edited({"fields": fields, "remove": True}, text)
            self.assertEqual(json.loads(edited), expected, edited)

    def test_removes_below_and_in_arrays(self) -> None:
        settings = {"fields": ["l[].a", "m[]"], "remove": True}
        payload = '{"l":[{"a":1},{"a":2,"b":3},{"b":4,"a":5}],"m":[ 1,2 ]}'
        self.assertEqual(self.edited(settings, payload), '{"l":[{},{"b":3},{"b":4}],"m":[  ]}')

    def test_renames_in_place(self) -> None:
        settings: dict[str, Any] = {"rename": {"a.b": "c", "l[].x": "y"}, "fields": ["a.b"]}
        self.assertEqual(self.edited(settings, '{"a":{"z":0,"b":1},"l":[{"x":1}]}'), '{"a":{"z":0,"c":"***"},"l":[{"y":1}]}')
        settings = {"rename": {"a": "x"}, "fields": ["z"], "remove": True}
        self.assertEqual(self.edited(settings, '{"z":0,"a":1,"z":2}'), '{"x":1}')

    def test_never_makes_a_key_twice(self) -> None:
        for payload in ('{"a":1,"b":2}', '{"b":2,"a":1}'):
            with self.assertRaisesRegex(Poison, "name-taken"):
                self.edited({"rename": {"a": "b"}}, payload)
        self.assertEqual(self.edited({"rename": {"a": "b"}}, '{"b":2}'), '{"b":2}')
        self.assertEqual(self.edited({"rename": {"a": "b", "b": "a"}}, '{"a":1,"b":2}'), '{"b":1,"a":2}')

    def test_passes_what_is_not_there(self) -> None:
        redact = create(Redact, {"fields": ["card", "a.b", "l[].x"], "rename": {"q": "r"}})
        for payload in ("{}", "[]", "null", "3", '{"a":1,"l":{"x":1}}', '{"card":"***"}', None):
            self.assertEqual(redact(event(payload)), PASS, payload)

    def test_what_is_not_json_is_poison(self) -> None:
        for payload in ("", "{", '{"a":1,}', '{"a":1} x', "\ufeff{}", b"\xff", "[1 2]", '{"b":{"a" 1}}'):
            for fields in (["a"], ["[].a"], ["b.a"]):
                with self.assertRaisesRegex(Poison, "invalid-json", msg=payload):
                    create(Redact, {"fields": fields})(event(payload))

    def test_settings_are_refused_by_name(self) -> None:
        for settings, named in (
            ({}, "`fields`"),
            ({"feilds": ["a"]}, "`feilds`"),
            ({"fields": ["a["]}, r"fields\[0\]"),
            ({"fields": ["a"], "remove": True, "replace": 1}, "`replace`"),
            ({"rename": {"a": "b.c"}}, r"rename\.a"),
            ({"rename": {"a": "x", "b": "x"}}, "`x`"),
            ({"fields": ["a"], "remove": True, "rename": {"a": "x"}}, r"rename\.a"),
        ):
            with self.assertRaisesRegex(SettingsError, named):
                create(Redact, settings)
