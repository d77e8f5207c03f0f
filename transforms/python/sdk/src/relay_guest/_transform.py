"""Making a transform of a function or a class."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, overload

from . import settings as _settings
from .event import Event
from .outcome import Outcome


@dataclass(frozen=True, slots=True)
class Unused:
    """What a transform does not read, so the host need not copy it in.

    An input named here arrives empty: a payload that was not copied looks like
    a tombstone. Leaving everything ``False`` is always correct, only slower.
    """

    payload: bool = False
    before: bool = False
    headers: bool = False


class Made(NamedTuple):
    """A transform with its settings."""

    apply: Callable[[Event], Outcome]
    unused: Unused


Target = TypeVar("Target", bound=Callable[..., Any])

_UNUSED = "__relay_unused__"
registered: list[Callable[..., Any]] = []
"""What :func:`transform` was put on; a component has exactly one."""


@overload
def transform(target: Target, /) -> Target: ...
@overload
def transform(*, unused: Unused) -> Callable[[Target], Target]: ...
def transform(target: Any = None, /, *, unused: Unused = Unused()) -> Any:
    """Makes a transform of what it decorates, once in a component.

    Of a function ``(event) -> outcome`` or ``(event, settings) -> outcome``.

    Of a class with a method ``apply(event) -> outcome``, where work is to be
    done once: its constructor takes the settings, or nothing. A method
    ``unused() -> Unused`` may say what these settings leave unread.

    The annotation of ``settings`` is a dataclass, read as
    :mod:`relay_guest.settings` says; a ``ValueError`` of the constructor refuses
    them. The decorated object itself stays as it is.
    """

    def register(target: Any) -> Any:
        apply = getattr(target, "apply", None) if inspect.isclass(target) else target
        if not callable(apply):
            raise TypeError("transform: expected a function, or a class with a method `apply`")
        setattr(target, _UNUSED, unused)
        registered.append(target)
        if sys.platform == "wasi":
            from ._sealed import remember_sources

            remember_sources()
        return target

    return register if target is None else register(target)


def make(target: Callable[..., Any], settings: str | dict[str, Any]) -> Made:
    """The transform with these settings; ``SettingsError`` if it refuses them."""
    is_class = inspect.isclass(target)
    function = target.__init__ if is_class else target
    takes = [one for one in inspect.signature(target).parameters.values() if one.default is one.empty]
    if is_class and function is object.__init__:
        takes = []
    takes = takes[0 if is_class else 1 :]
    kind: Any = _None
    if takes:
        kind = typing.get_type_hints(function).get(takes[0].name, dict)
    given = _settings.parse(kind, settings) if isinstance(settings, str) else _settings.read(kind, settings)
    unused: Unused = getattr(target, _UNUSED, Unused())
    if not is_class:
        return Made((lambda event: target(event, given)) if takes else target, unused)
    try:
        instance = target(given) if takes else target()
    except _settings.SettingsError:
        raise
    except ValueError as error:
        raise _settings.SettingsError(str(error)) from error
    if hasattr(instance, "unused"):
        unused = instance.unused()
        if not isinstance(unused, Unused):
            raise TypeError(f"unused() returned {unused!r:.100}, not an Unused")
    return Made(instance.apply, unused)


@dataclass(frozen=True)
class _None:
    """The settings of a transform that takes none."""
