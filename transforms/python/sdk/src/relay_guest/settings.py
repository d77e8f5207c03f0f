"""Settings of a transform: the JSON object from the config, read into a
dataclass.

A field ``id_field`` is the setting ``id-field``; a trailing underscore keeps
clear of Python's own words (``in_`` is ``in``). A field without default is
required, an unknown setting is refused. Types may be ``str``, ``int``,
``float``, ``bool``, ``Any``, ``Literal``, enums, ``list``, ``tuple``, ``dict``,
further dataclasses, unions of these, and any class made from one string, such as
:class:`relay_guest.json.Path`. A ``ValueError`` of such a class or of
``__post_init__`` refuses the settings.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal, TypeVar

from . import json
from .failure import Poison

T = TypeVar("T")


class Absent(Enum):
    """The type of :data:`ABSENT`."""

    ABSENT = "ABSENT"

    def __repr__(self) -> str:
        return self.value


ABSENT: Final = Absent.ABSENT
"""Default of a setting for which JSON null is a value:
``replace: Any | Absent = ABSENT``."""


class SettingsError(ValueError):
    """Settings that are refused. The operator sees it, so it names the field."""


def parse(kind: type[T], text: str) -> T:
    """Reads settings from a JSON object; empty text is read as ``{}``."""
    try:
        value = json.loads(text if text.strip() else "{}")
    except json.Invalid as error:
        raise SettingsError(f"settings: {error.detail}") from None
    return read(kind, value)


def read(kind: type[T], value: object) -> T:
    """Reads settings from the tree of a JSON object."""
    if not isinstance(value, dict):
        raise SettingsError("settings: not an object")
    try:
        return typing.cast(T, _read(kind, value, ""))
    except SettingsError as error:
        raise SettingsError(f"settings: {error}") from None


def _read(kind: Any, value: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is object:
        return value
    if origin is Literal:
        if value in arguments and isinstance(value, str):
            return value
        raise _wrong(path, value, " or ".join(f"`{known}`" for known in arguments))
    if origin in (types.UnionType, typing.Union):
        return _union([one for one in arguments if one is not Absent], value, path)
    if origin in (list, tuple) or kind in (list, tuple):
        if not isinstance(value, list):
            raise _wrong(path, value, "a list")
        item = arguments[0] if arguments else Any
        return (origin or kind)(_read(item, one, f"{path}[{at}]") for at, one in enumerate(value))
    if origin in (dict, Mapping) or kind is dict:
        if not isinstance(value, dict):
            raise _wrong(path, value, "a table")
        item = arguments[1] if arguments else Any
        return {name: _read(item, one, _join(path, name)) for name, one in value.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, path)
    if kind in _PLAIN:
        accepted, expected = _PLAIN[kind]
        if isinstance(value, accepted) and (isinstance(value, bool) == (kind is bool)):
            return value
        raise _wrong(path, value, expected)
    if kind is type(None) and value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(path, value, "a string")
    if issubclass(kind, Enum) and value not in [one.value for one in kind]:
        raise _wrong(path, value, " or ".join(f"`{one.value}`" for one in kind))
    try:
        return kind(value)
    except ValueError as error:
        raise _at(path, f"`{value}`: {error}") from None


_PLAIN: Final[dict[Any, tuple[Any, str]]] = {
    str: (str, "a string"),
    bool: (bool, "true or false"),
    int: (int, "an integer"),
    float: ((int, float), "a number"),
}


def _union(kinds: list[Any], value: Any, path: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = [kind for kind in kinds if kind is not type(None)]
    for kind in kinds[:-1]:
        try:
            return _read(kind, value, path)
        except SettingsError:
            pass
    return _read(kinds[-1], value, path)


def _dataclass(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(path, value, "a table")
    hints = typing.get_type_hints(kind)
    fields = {field.name.rstrip("_").replace("_", "-"): field for field in dataclasses.fields(kind) if field.init}
    for name in value:
        if name not in fields:
            known = ", ".join(f"`{one}`" for one in fields) or "none"
            raise _at(path, f"unknown setting `{name}`: expected {known}")
    given = {}
    for name, field in fields.items():
        if name in value:
            given[field.name] = _read(hints[field.name], value[name], _join(path, name))
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise _at(path, f"`{name}` is missing")
    try:
        return kind(**given)
    except SettingsError:
        raise
    except ValueError as error:
        raise _at(path, str(error)) from None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _at(path: str, cause: str) -> SettingsError:
    return SettingsError(f"{path}: {cause}" if path else cause)


def _wrong(path: str, value: Any, expected: str) -> SettingsError:
    try:
        found = json.dumps(value)
    except Poison:
        found = repr(value)
    return _at(path, f"`{found}` is not {expected}")
