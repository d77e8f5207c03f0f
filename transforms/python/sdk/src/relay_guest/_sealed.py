"""What a component has none of: files, clocks, randomness, modules that were
not imported when it was built.

Each would be a trap, which tells little and takes the events of a whole batch
with it; here they become exceptions that name the remedy.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import io
import linecache
import logging
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, NoReturn

# What the library imports only where it needs it, which is too late here.
for _module in ("_colorize", "_strptime", "_suggestions", "tokenize"):
    with suppress(ImportError):  # another version of Python
        importlib.import_module(_module)

_NO_CLOCK = "a transform has no clock: use event.time"
_NO_CHANCE = "a transform has no randomness: make ids from event.id"
_NO_FILES = "a transform has no files: read them when the module is imported, which is at build time"

_CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "sleep")

_sealed = False


def remember_sources() -> None:
    """At build time: reads the lines that a traceback will show."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py") and not file.startswith(os.path.dirname(os.__file__)):
            linecache.getlines(file)


def settle() -> None:
    """After a transform was made: what is there stays, so the collector need
    not look at it again."""
    gc.collect()
    gc.freeze()


def seal(log: Callable[[int, str], None]) -> None:
    """At run time, before anything else."""
    global _sealed
    if _sealed:
        return
    _sealed = True
    linecache.checkcache = lambda filename=None: None
    # The marks below a line come of parsing it, and a parser's error opens files.
    traceback._extract_caret_anchors_from_line_segment = lambda segment: None  # type: ignore[attr-defined]
    traceback.StackSummary._should_show_carets = lambda *_: False  # type: ignore[attr-defined]
    linecache.updatecache = lambda filename, module_globals=None: []
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "__name__", "") != "PathFinder"] + [_NoModules()]
    # A record's time is the host's to give.
    logging.time = SimpleNamespace(time_ns=lambda: 0, time=lambda: 0)  # type: ignore[attr-defined]
    logging.basicConfig(level=logging.NOTSET, format="%(name)s: %(message)s", handlers=[_Handler(log)], force=True)
    sys.stdout = _Lines(lambda line: log(logging.INFO, line))
    sys.stderr = _Lines(lambda line: log(logging.WARNING, line))
    for name in _CLOCKS:
        setattr(time, name, _refusal(RuntimeError, f"time.{name}: {_NO_CLOCK}"))
    for name in ("urandom", "getrandom"):
        setattr(os, name, _refusal(RuntimeError, f"os.{name}: {_NO_CHANCE}"))
    random._urandom = os.urandom  # type: ignore[attr-defined]
    no_file = _refusal(OSError, _NO_FILES)
    for name in ("open", "stat", "lstat", "listdir", "scandir", "mkdir", "remove", "rename"):
        setattr(os, name, no_file)
    builtins.open = io.open = no_file


def _refusal(kind: type[Exception], message: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise kind(message)

    return refuse


class _NoModules:
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> NoReturn:
        raise ModuleNotFoundError(f"{name} is not in the component: import it at the top of a module", name=name)


class _Handler(logging.Handler):
    def __init__(self, log: Callable[[int, str], None]) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log(record.levelno, self.format(record))


class _Lines(io.TextIOBase):
    """A stream whose lines go to the log."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)


def _warm_up() -> None:
    # What a traceback imports and reads of the library, it does so here.
    for bad in ('{}["x"]', "[].appendx", "undefined_name"):
        try:
            eval(bad)
        except Exception:
            traceback.format_exc()


_warm_up()
