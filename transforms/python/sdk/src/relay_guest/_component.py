"""The only place that knows the WIT world: lifts events, checks and lowers what
a transform returns, and logs."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from typing import Any

from componentize_py_types import Err
from wit_world.imports import host
from wit_world.imports import types as wit

from . import _sealed, _transform, json
from .event import Event, Header, Operation, Position
from .failure import Failure, Halt
from .outcome import KEEP, PASS, Content, Drop, Message
from .settings import SettingsError

# The runtime makes events of the classes it finds here, which saves a copy.
wit.Event = Event
wit.Header = Header
wit.Position = Position
# Of enums it gives the index.
_OPERATIONS = tuple(Operation)
_PASS = wit.Outcome_Pass()
_NULL = wit.Content_Null()

# Index of the event being processed, for log lines.
_current: int | None = None


def _log(level: int, message: str) -> None:
    if level < logging.DEBUG:
        to = host.Level.TRACE
    elif level < logging.INFO:
        to = host.Level.DEBUG
    elif level < logging.WARNING:
        to = host.Level.INFO
    elif level < logging.ERROR:
        to = host.Level.WARN
    else:
        to = host.Level.ERROR
    host.log(to, _printable(message), _current)


class Transform:
    """The exported resource around the transform of this component."""

    def __init__(self, made: _transform.Made) -> None:
        self._apply = made.apply
        self._unused = made.unused

    @classmethod
    def create(cls, settings: str) -> Transform:
        _sealed.seal(_log)
        try:
            if len(_transform.registered) != 1:
                raise SettingsError(f"one function or class must be decorated with `transform`, not {len(_transform.registered)}")
            made = cls(_transform.make(_transform.registered[0], settings))
        except SettingsError as error:
            raise Err(_printable(str(error))) from None
        except BaseException as error:
            raise Err(_trace(error)) from None
        _sealed.settle()
        return made

    def unused(self) -> wit.Unused:
        flags = wit.Unused(0)
        if self._unused.payload:
            flags |= wit.Unused.PAYLOAD
        if self._unused.before:
            flags |= wit.Unused.BEFORE
        if self._unused.headers:
            flags |= wit.Unused.HEADERS
        return flags

    def process(self, events: Sequence[Any]) -> list[wit.Outcome]:
        global _current
        outcomes = []
        for _current, event in enumerate(events):
            try:
                event.operation = _OPERATIONS[event.operation._value_]
                outcome = _lower(self._apply(event))
            except Failure as failure:
                kind = wit.FailureKind.HALT if isinstance(failure, Halt) else wit.FailureKind.POISON
                outcome = wit.Outcome_Fail(wit.Failure(kind, _printable(failure.code), _printable(failure.detail)))
            # All of them, or one event would trap the instance and with it
            # the rest of its batch: a SystemExit too, and what is out of memory.
            except BaseException as error:
                outcome = wit.Outcome_Fail(wit.Failure(wit.FailureKind.POISON, "exception", _trace(error)))
            outcomes.append(outcome)
        _current = None
        return outcomes


def _trace(error: BaseException) -> str:
    """The message first: a reader of the dead letter may see only its start."""
    # The frames before the transform's own are ours.
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
        return _printable("".join((lines[-1], *(lines[:-1] if trace else ()))).rstrip())
    except BaseException:
        return type(error).__name__


def _printable(text: str) -> str:
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _lower(outcome: object) -> wit.Outcome:
    if outcome is PASS:
        return _PASS
    if isinstance(outcome, Message):
        return wit.Outcome_Emit([_message(outcome, "Message")])
    if isinstance(outcome, Drop):
        return wit.Outcome_Drop(_text(outcome.reason, "drop: reason"))
    if isinstance(outcome, list | tuple):
        return wit.Outcome_Emit([_message(message, f"[{at}]") for at, message in enumerate(outcome)])
    raise TypeError(f"a transform returns PASS, drop(...), a Message or a list of them, not {outcome!r:.100}")


def _message(message: object, where: str) -> wit.Message:
    if not isinstance(message, Message):
        raise TypeError(f"{where}: expected a Message, not {message!r:.100}")
    partition = message.partition
    if partition is not None and not (type(partition) is int and 0 <= partition < 1 << 32):
        raise TypeError(f"{where}.partition: expected an int of 32 bits, not {partition!r:.100}")
    return wit.Message(
        _text(message.id, f"{where}.id"),
        _text(message.event_type, f"{where}.event_type"),
        _text(message.topic, f"{where}.topic"),
        partition,
        None if message.key is KEEP else _content(message.key, f"{where}.key"),
        None if message.payload is KEEP else _content(message.payload, f"{where}.payload"),
        _headers(message, where) if message.remove_headers or message.append_headers else None,
    )


def _text(text: object, where: str) -> str | None:
    # What has no UTF-8 form would trap on its way out.
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"{where}: expected a str, not {text!r:.100}")
    return text if text.isascii() else _encodable(text, where)


def _encodable(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: a lone surrogate at {error.start}, which UTF-8 cannot have") from None
    return text


def _content(content: Content, where: str) -> wit.Content:
    if isinstance(content, str):
        return wit.Content_Text(content if content.isascii() else _encodable(content, where))
    if isinstance(content, bytes):
        return wit.Content_Bytes(content)
    if content is None:
        return _NULL
    if isinstance(content, dict | list):
        return wit.Content_Text(_encodable(json.dumps(content), where))
    raise TypeError(f"{where}: expected str, bytes, dict, list or None, not {content!r:.100}")


def _headers(message: Message, where: str) -> wit.HeaderEdit:
    if isinstance(message.remove_headers, str):
        raise TypeError(f"{where}.remove_headers: expected a list of names, not a str")
    return wit.HeaderEdit(
        [_name(name, f"{where}.remove_headers[{at}]") for at, name in enumerate(message.remove_headers)],
        [_header(header, f"{where}.append_headers[{at}]") for at, header in enumerate(message.append_headers)],
    )


def _header(header: object, where: str) -> wit.Header:
    if not isinstance(header, tuple) or len(header) != 2:
        raise TypeError(f"{where}: expected a name and a value, not {header!r:.100}")
    name, value = header
    if isinstance(value, str):
        value = _encodable(value, where).encode()
    if value is not None and not isinstance(value, bytes):
        raise TypeError(f"{where}: expected a value of bytes, str or None, not {value!r:.100}")
    return wit.Header(_name(name, where), value)


def _name(name: object, where: str) -> str:
    text = _text(name, where)
    if text is None:
        raise TypeError(f"{where}: expected a str, not None")
    return text
