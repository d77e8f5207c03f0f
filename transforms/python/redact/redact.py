"""Masks, removes and renames fields of a JSON payload; see the README.

All that is not named is copied by its text, so digits, escapes, order and
white space stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from relay_guest import ABSENT, PASS, Absent, Event, Message, Outcome, Poison, Unused, json, transform
from relay_guest.json import Path


@dataclass(frozen=True)
class Settings:
    fields: list[Path] = field(default_factory=list)
    replace: Any | Absent = ABSENT
    remove: bool = False
    rename: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.fields and not self.rename:
            raise ValueError("`fields` or `rename` must name at least one path")
        if self.remove and self.replace is not ABSENT:
            raise ValueError("`replace` has no use with `remove`: give one of them")


Edit = tuple[int, int, str]
"""From where to where, and what stands there instead."""


class Node:
    """What the settings say about one value and what is in it: their paths as
    a tree, walked along with the payload."""

    def __init__(self) -> None:
        self.hit = False  # masked or removed, and nothing below it looked at
        self.new_name: str | None = None
        self.each: Node | None = None
        self.names: dict[str, Node] = {}
        self.new_names: set[str] = set()  # that keys of this object take

    def add(self, steps: tuple[str | None, ...]) -> Node:
        node = self
        for step in steps:
            if step is None:
                node.each = node.each or Node()
                node = node.each
            else:
                node = node.names.setdefault(step, Node())
        return node

    def rename(self, path: str, name: str, removes: bool) -> None:
        *parent, old = Path(path).steps
        if old is None:
            raise ValueError("only a name can be renamed, not `[]`")
        if not name or "." in name or "[" in name:
            raise ValueError(f"`{name}` is not a name: a key stays where it is")
        into = self.add(tuple(parent))
        if name in into.new_names:
            raise ValueError(f"another key of the same object becomes `{name}`")
        node = into.add((old,))
        if node.hit and removes:
            raise ValueError("the field is removed by `fields`")
        node.new_name = name
        into.new_names.add(name)


@transform
class Redact:
    def __init__(self, settings: Settings) -> None:
        self.root = Node()
        for path in settings.fields:
            self.root.add(path.steps).hit = True
        for old, name in sorted(settings.rename.items()):
            try:
                self.root.rename(old, name, settings.remove)
            except ValueError as error:
                raise ValueError(f"rename.{old}: {error}") from None
        # JSON text put in place of a field; `None` removes it.
        self.replace = None if settings.remove else json.dumps("***" if settings.replace is ABSENT else settings.replace)

    def unused(self) -> Unused:
        return Unused(before=True, headers=True)

    def apply(self, event: Event) -> Outcome:
        payload = event.text()
        if payload is None:
            return PASS
        text = json.Text(payload)
        edits: list[Edit] = []
        if not self.walk(self.root, text, None, edits):
            text.check()
        if not edits:
            return PASS
        parts: list[str] = []
        copied = 0
        for at, end, new in edits:
            parts += payload[copied:at], new
            copied = end
        return Message("".join((*parts, payload[copied:])))

    def walk(self, node: Node, text: json.Text, at: int | None, edits: list[Edit]) -> bool:
        """Adds the edits of one value, in the order of the text. False if there
        is nothing to read in it; ``at`` is ``None`` for the root."""
        bracket = text.bracket(at)
        if node.names and bracket == "{":
            self.object(node, text, at, edits)
        elif node.each and bracket == "[":
            if node.each.hit and self.replace is None:
                if spans := list(text.elements(at)):
                    edits.append((spans[0][0], spans[-1][1], ""))
                return True
            for value, end in text.elements(at):
                if node.each.hit:
                    self.mask(text, value, end, edits)
                else:
                    self.walk(node.each, text, value, edits)
        else:
            return False
        return True

    def object(self, node: Node, text: json.Text, at: int | None, edits: list[Edit]) -> None:
        names = node.names
        given, taken = set(), set()
        # A removed member takes the comma before it, once one before it is
        # kept, and else the comma behind it.
        kept_end = leading = None
        end = 0
        # A mask needs no neighbours.
        only = names if self.replace is not None and not node.new_names else None
        for name, key, key_end, value, end in text.members(at, only):
            child = names.get(name)
            if child and child.hit and self.replace is None:
                if kept_end is not None:
                    edits.append((kept_end, end, ""))
                    kept_end = end
                elif leading is None:
                    leading = key
                continue
            if leading is not None:
                edits.append((leading, key, ""))
                leading = None
            kept_end = end
            if child and child.new_name is not None:
                given.add(child.new_name)
                if child.new_name != name:
                    edits.append((key, key_end, json.dumps(child.new_name)))
            elif name in node.new_names:
                taken.add(name)
            if child:
                if child.hit:
                    self.mask(text, value, end, edits)
                else:
                    self.walk(child, text, value, edits)
        if leading is not None:
            edits.append((leading, end, ""))
        for name in given & taken:
            raise Poison("name-taken", f"cannot rename a key to `{name}`: the object has one of that name")

    def mask(self, text: json.Text, at: int, end: int, edits: list[Edit]) -> None:
        if self.replace is not None and text.text[at:end] != self.replace:
            edits.append((at, end, self.replace))
