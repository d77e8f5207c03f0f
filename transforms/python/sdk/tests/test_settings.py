from __future__ import annotations

import unittest
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from relay_guest import ABSENT, Absent, SettingsError
from relay_guest.json import Path
from relay_guest.settings import parse


class Colour(StrEnum):
    RED = "red"


@dataclass
class Inner:
    in_: list[str]

    def __post_init__(self) -> None:
        if not self.in_:
            raise ValueError("`in` is empty")


@dataclass
class Settings:
    id_field: Path | None = None
    inner: list[Inner] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    value: Any | Absent = ABSENT
    mode: Literal["a", "b"] = "a"
    colour: Colour = Colour.RED
    count: int = 0
    share: float = 0.0
    on: bool = False
    either: int | str = 0


class Reading(unittest.TestCase):
    def test_reads(self) -> None:
        made = parse(Settings, '{"id-field":"a.b","inner":[{"in":["x"]}],"value":null,"colour":"red","share":1,"either":"x"}')
        self.assertEqual(made.id_field, Path("a.b"))
        self.assertEqual(made.inner, [Inner(["x"])])
        self.assertIsNone(made.value)
        self.assertEqual(made.either, "x")
        self.assertIs(parse(Settings, "").value, ABSENT)

    def test_names_what_it_refuses(self) -> None:
        for text, named in (
            ("[]", "not an object"),
            ("{", "settings: "),
            ('{"id_field":"a"}', "`id_field`"),
            ('{"id-field":"a["}', r"id-field: `a\["),
            ('{"inner":[{"in":["x"]},{}]}', r"inner\[1\]: `in` is missing"),
            ('{"inner":[{"in":[]}]}', r"inner\[0\]: `in` is empty"),
            ('{"inner":[{"in":["x",1]}]}', r"inner\[0\].in\[1\]: `1` is not a string"),
            ('{"inner":[{"in":["x"],"out":1}]}', r"inner\[0\]: unknown setting `out`"),
            ('{"names":{"x":1}}', "names.x"),
            ('{"mode":"c"}', "mode: .*`a` or `b`"),
            ('{"colour":"blue"}', "colour: .*`red`"),
            ('{"count":true}', "count"),
            ('{"count":1.5}', "count"),
            ('{"on":1}', "on: "),
            ('{"either":[]}', "either"),
        ):
            with self.assertRaisesRegex(SettingsError, named, msg=text):
                parse(Settings, text)
