from __future__ import annotations

import unittest
from typing import Any

from relay_guest import PASS, Event, Header, Outcome, Poison, SettingsError, Unused, _transform
from relay_guest import route as to
from relay_guest.testing import create, event

from route import Route


def route(settings: dict[str, Any], one: Event) -> Outcome:
    return create(Route, settings)(one)


class Routing(unittest.TestCase):
    def test_by_event_type_with_default(self) -> None:
        settings = {"by": "event-type", "routes": {"OrderPlaced": "orders.placed"}, "default": "orders.other"}
        self.assertEqual(route(settings, event(event_type="OrderPlaced", topic="t")), to("orders.placed"))
        self.assertEqual(route(settings, event(event_type="OrderPaid", topic="t")), to("orders.other"))
        self.assertEqual(route(settings, event(event_type="OrderPaid", topic="orders.other")), PASS)

    def test_an_unknown_value_without_default_passes(self) -> None:
        settings = {"by": "entity", "routes": {"order": "orders"}}
        self.assertEqual(route(settings, event(entity="order")), to("orders"))
        self.assertEqual(route(settings, event(entity="user")), PASS)

    def test_by_field(self) -> None:
        settings = {"by": "field:customer.tier", "template": "orders.{value}", "routes": {"7": "seven"}, "default": "none"}
        self.assertEqual(route(settings, event(r'{"customer":{"tier":"g\u006fld"}}')), to("orders.gold"))
        self.assertEqual(route(settings, event('{"customer":{"tier":7}}')), to("seven"))
        self.assertEqual(route(settings, event('{"customer":{"tier":true}}')), to("orders.true"))
        for without in ('{"customer":{"tier":null}}', "{}", "[]", '{"customer":{"tier":[]}}', None):
            self.assertEqual(route(settings, event(without)), to("none"))
        for payload, code in (("{", "invalid-json"), ('{"customer":{"tier":"a/b"}}', "invalid-topic")):
            with self.assertRaisesRegex(Poison, code):
                route(settings, event(payload))

    def test_by_header(self) -> None:
        settings = {"by": "header:region", "template": "orders.{value}"}
        self.assertEqual(route(settings, event(headers=[Header("region", b"eu")])), to("orders.eu"))
        self.assertEqual(route(settings, event()), PASS)

    def test_reads_only_what_it_needs(self) -> None:
        for by, unused in (
            ("event-type", Unused(payload=True, before=True, headers=True)),
            ("field:a", Unused(before=True, headers=True)),
            ("header:a", Unused(payload=True, before=True)),
        ):
            self.assertEqual(_transform.make(Route, {"by": by, "default": "t"}).unused, unused)

    def test_settings_are_refused_by_name(self) -> None:
        for settings, named in (
            ({}, "`by`"),
            ({"by": "key", "default": "t"}, "by: "),
            ({"by": "header:", "default": "t"}, "by: "),
            ({"by": "field:a[].b", "default": "t"}, r"`a\[\].b`"),
            ({"by": "entity"}, "`routes`"),
            ({"by": "entity", "template": "x"}, "`template`"),
            ({"by": "entity", "default": "a b"}, "`a b`"),
            ({"by": "entity", "default": ".."}, r"`\.\.`"),
            ({"by": "entity", "topic": "t"}, "`topic`"),
        ):
            with self.assertRaisesRegex(SettingsError, named):
                create(Route, settings)
