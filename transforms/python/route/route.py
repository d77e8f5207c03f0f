"""Chooses a topic by event type, entity, header or payload field; see the
README."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from relay_guest import PASS, Event, Outcome, Poison, Unused, json, route, transform

VALUE = "{value}"
"""Where in a template the value goes."""

# Kafka's own limit on the length of a topic name.
is_topic = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}").fullmatch


class By:
    """What the value is that picks the topic."""

    def __init__(self, text: str) -> None:
        self.kind, _, rest = text.partition(":")
        self.header = rest
        self.path: json.Path | None = None
        if text in ("event-type", "entity") or (self.kind == "header" and rest):
            return
        if self.kind != "field" or ":" not in text:
            raise ValueError("it is none of `event-type`, `entity`, `header:<name>`, `field:<path>`")
        try:
            self.path = json.Path(rest)
        except ValueError as error:
            raise ValueError(f"`{rest}`: {error}") from None
        if self.path.is_plural:
            raise ValueError(f"`{rest}`: a topic needs one value, `[]` gives several")


@dataclass(frozen=True)
class Settings:
    by: By
    routes: dict[str, str] = field(default_factory=dict)
    template: str | None = None
    default: str | None = None

    def __post_init__(self) -> None:
        if self.template is not None and VALUE not in self.template:
            raise ValueError(f"`template` has no `{VALUE}`: use `default` for a fixed topic")
        if not self.routes and self.template is None and self.default is None:
            raise ValueError("one of `routes`, `template`, `default` is needed")
        for topic in sorted([*self.routes.values(), *([] if self.default is None else [self.default])]):
            if not is_topic(topic):
                raise ValueError(f"`{topic}` is not a name that Kafka allows for a topic")


@transform
class Route:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def unused(self) -> Unused:
        kind = self.settings.by.kind
        return Unused(payload=kind != "field", before=True, headers=kind != "header")

    def apply(self, event: Event) -> Outcome:
        topic = self.topic(self.value(event))
        return PASS if topic in (None, event.topic) else route(topic)

    def value(self, event: Event) -> str | None:
        by = self.settings.by
        if by.path is not None:
            text = event.text()
            return None if text is None else scalar(by.path.find(text))
        if by.kind == "header":
            return event.header_text(by.header)
        return event.entity if by.kind == "entity" else event.event_type

    def topic(self, value: str | None) -> str | None:
        settings = self.settings
        if value is None:
            return settings.default
        if value in settings.routes:
            return settings.routes[value]
        if settings.template is None:
            return settings.default
        topic = settings.template.replace(VALUE, value)
        if not is_topic(topic):
            raise Poison("invalid-topic", f"`{topic}` is not a name that Kafka allows for a topic")
        return topic


def scalar(text: str | None) -> str | None:
    """A string's value, or the text of a number or boolean. Null, objects and
    arrays name no topic."""
    if text is None or text[0] in "{[n":
        return None
    return json.decode(text) if text[0] == '"' else text
