from __future__ import annotations

import unittest
from typing import Any

from relay_guest import PASS, Message, Outcome, Poison, SettingsError, drop
from relay_guest.testing import create, event

from split import split


def parts(settings: dict[str, Any], payload: str | None) -> Outcome:
    return create(split, settings)(event(payload, id="7"))


class Splitting(unittest.TestCase):
    def test_one_message_for_each_element(self) -> None:
        payload = '{"order_id":1,"lines":[ {"n":1.10}, 2 ,[] ]}'
        self.assertEqual(parts({"path": "lines"}, payload), [Message('{"n":1.10}'), Message("2"), Message("[]")])

    def test_sets_id_type_and_topic(self) -> None:
        settings = {"path": "o.lines", "id-field": "id", "event-type": "Line", "topic": "lines"}
        made = parts(settings, '{"o":{"lines":[{"id":"a"},{"id":2}]}}')
        expected = [Message(text, id=own, event_type="Line", topic="lines") for own, text in (("7:a", '{"id":"a"}'), ("7:2", '{"id":2}'))]
        self.assertEqual(made, expected)
        for lines, code in (('[{"id":null}]', "missing-id"), ("[3]", "missing-id"), ('[{"id":1},{"id":"1"}]', "repeated-id")):
            with self.assertRaisesRegex(Poison, code):
                parts(settings, f'{{"o":{{"lines":{lines}}}}}')

    def test_copies_into_each_element(self) -> None:
        settings = {"path": "lines", "copy": ["order_id", "customer.id", "absent"]}
        payload = '{"order_id":12345678901234567890.10,"customer":{"id":"c"},"lines":[{"n":1},{},{"id":5}, {"id":6,"order_id":7}]}'
        expected = (
            '{"order_id":12345678901234567890.10,"id":"c","n":1}',
            '{"order_id":12345678901234567890.10,"id":"c"}',
            '{"order_id":12345678901234567890.10,"id":5}',
            '{"id":6,"order_id":7}',
        )
        self.assertEqual(parts(settings, payload), [Message(text) for text in expected])
        with self.assertRaisesRegex(Poison, "not-an-object"):
            parts(settings, '{"order_id":1,"lines":[1]}')

    def test_nothing_to_split(self) -> None:
        settings = {"path": "lines"}
        for payload in ("{}", '{"lines":[]}', '{"lines":null}', "[]"):
            self.assertEqual(parts(settings, payload), drop("empty"), payload)
        for payload, code in (('{"lines":{}}', "not-an-array"), ("{", "invalid-json")):
            with self.assertRaisesRegex(Poison, code):
                parts(settings, payload)
        self.assertEqual(parts(settings, None), PASS)

    def test_settings_are_refused_by_name(self) -> None:
        for settings, named in (
            ({}, "`path`"),
            ({"path": "a[]"}, "path: "),
            ({"path": "a", "id_field": "b"}, "`id_field`"),
            ({"path": "a", "copy": ["x.id", "id"]}, r"copy\[1\]"),
            ({"path": "a", "copy": ["x[]"]}, r"copy\[0\]"),
        ):
            with self.assertRaisesRegex(SettingsError, named):
                create(split, settings)
