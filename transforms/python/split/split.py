"""Publishes each element of an array in the payload as a message; see the
README."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay_guest import PASS, Event, Message, Outcome, Poison, Unused, drop, json, transform
from relay_guest.json import Path


class SinglePath(Path):
    """A path to one value."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        if self.is_plural:
            raise ValueError("`[]` gives several values, one is needed")

    @property
    def name(self) -> str:
        return self.steps[-1] or ""


@dataclass(frozen=True)
class Settings:
    path: SinglePath
    id_field: SinglePath | None = None
    event_type: str | None = None
    topic: str | None = None
    copy: list[SinglePath] = field(default_factory=list)

    def __post_init__(self) -> None:
        names: set[str] = set()
        for at, path in enumerate(self.copy):
            if path.name in names:
                raise ValueError(f"copy[{at}]: another one is named `{path.name}`")
            names.add(path.name)


@transform(unused=Unused(before=True, headers=True))
def split(event: Event, settings: Settings) -> Outcome:
    payload = event.text()
    if payload is None:
        return PASS
    array = settings.path.find(payload)
    if array is None or array == "null":
        return drop("empty")
    if array[0] != "[":
        raise Poison("not-an-array", "`path` leads to something else")
    found = ((path.name, path.find(payload)) for path in settings.copy)
    copies = {name: text for name, text in found if text is not None}
    messages, ids = [], set()
    for at, end in json.Text(array).elements():
        element = array[at:end]
        message = Message(extended(element, copies), event_type=settings.event_type, topic=settings.topic)
        if settings.id_field is not None:
            own = id_of(settings.id_field, element)
            message.id = f"{event.id}:{own}"
            if own in ids:
                raise Poison("repeated-id", "two elements have the same id")
            ids.add(own)
        messages.append(message)
    return messages or drop("empty")


def extended(element: str, copies: dict[str, str]) -> str:
    """The element with the copies in front; a member of its own goes before a
    copy of the same name."""
    if not copies:
        return element
    if element[0] != "{":
        raise Poison("not-an-object", "`copy` needs elements that are objects")
    own = {name for name, *_ in json.Text(element).members()}
    lead = ",".join(f"{json.dumps(name)}:{text}" for name, text in copies.items() if name not in own)
    if not lead:
        return element
    return "{" + lead + ("," if own else "") + element[1:]


def id_of(path: Path, element: str) -> str:
    """A string's value, or the text of a number or boolean."""
    text = path.find(element) or "null"
    found = json.decode(text) if text[0] == '"' else None if text[0] in "{[n" else text
    if found is None:
        raise Poison("missing-id", "an element has no string or number at `id-field`")
    return found
