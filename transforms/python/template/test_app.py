import unittest

from app import apply
from relay_guest import PASS, Message, Poison, SettingsError, drop
from relay_guest.testing import create, event


class Apply(unittest.TestCase):
    def test_masks_the_member(self) -> None:
        masked = create(apply)(event({"id": 1, "email": "a@b"}))
        self.assertEqual(masked, Message('{"id":1,"email":"***"}'))

    def test_passes_what_has_no_such_member(self) -> None:
        mask = create(apply, {"mask": "card"})
        for payload in ({"email": "a@b"}, '{ "id" : 1.10 }', "[]", None):
            self.assertEqual(mask(event(payload)), PASS)

    def test_drops_test_events(self) -> None:
        self.assertEqual(create(apply)(event({"test": True})), drop("test"))

    def test_refuses(self) -> None:
        with self.assertRaisesRegex(Poison, "invalid-json"):
            create(apply)(event("not json"))
        with self.assertRaisesRegex(SettingsError, "`maks`"):
            create(apply, {"maks": "card"})
