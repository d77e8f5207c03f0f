// Publishes each element of an array in the payload as a message, as transforms/rust/split does.

import { type Event, Failure, JsonCursor, type JsonPath, type Message, decodeString } from "relay-guest";
import { drop, emit, pass, refuse, setting, transform } from "relay-guest";

/** Name and JSON text of what is copied into each element. */
type Copy = readonly [name: string, text: string];

export default transform({
  settings: {
    path: setting.path(),
    "id-field": setting.path().optional(),
    "event-type": setting.string().optional(),
    topic: setting.string().optional(),
    copy: setting.list(setting.path(), []),
  },

  create(settings) {
    const { path, "id-field": idField, copy } = settings;
    single("path", path);
    if (idField !== undefined) single("id-field", idField);
    copy.forEach((path, index) => single(`copy[${index}]`, path));
    const names = copy.map((path) => path.lastName ?? "");
    const twice = names.findIndex((name, index) => names.indexOf(name) < index);
    if (twice >= 0) refuse(`copy[${twice}]: another one is named \`${names[twice]}\``);
    return { path, idField, eventType: settings["event-type"], topic: settings.topic, copy };
  },

  unused: ["before", "headers"],

  apply(event, { path, idField, eventType, topic, copy }) {
    const payload = event.jsonText();
    if (payload === undefined) return pass();
    const list = path.find(payload);
    if (list === undefined || list === "null") return drop("empty");
    const cursor = new JsonCursor(list);
    if (cursor.kind() !== "array") throw Failure.poison("not-an-array", "`path` leads to something else");
    const copies = copied(payload, copy);
    const messages: Message[] = [];
    const ids = new Set<string>();
    for (let more = cursor.firstElement(); more; more = cursor.nextElement()) {
      const element = cursor.value();
      const message: Message = { payload: extended(element, copies), eventType, topic };
      if (idField !== undefined) message.id = identify(event, idField, element, ids);
      messages.push(message);
    }
    return messages.length > 0 ? emit(messages) : drop("empty");
  },
});

function single(name: string, path: JsonPath): void {
  if (path.isPlural) refuse(`${name}: \`[]\` gives several values, one is needed`);
}

/** What the payload does not have is left out. */
function copied(payload: string, paths: readonly JsonPath[]): Copy[] {
  const copies: Copy[] = [];
  for (const path of paths) {
    const text = path.find(payload);
    if (text !== undefined && path.lastName !== undefined) copies.push([path.lastName, text]);
  }
  return copies;
}

/** The element with the copies in front; a member of its own goes before a copy of the same name. */
function extended(element: string, copies: readonly Copy[]): string {
  if (copies.length === 0) return element;
  const cursor = new JsonCursor(element);
  if (cursor.kind() !== "object") throw Failure.poison("not-an-object", "`copy` needs elements that are objects");
  const own = new Set<string>();
  let members = 0;
  for (let more = cursor.firstMember(); more; more = cursor.nextMember()) {
    const copy = copies.find(([name]) => cursor.nameIs(name));
    if (copy !== undefined) own.add(copy[0]);
    cursor.skip();
    members++;
  }
  const added = copies.filter(([name]) => !own.has(name)).map(([name, text]) => `${JSON.stringify(name)}:${text}`);
  if (added.length === 0) return element;
  return `{${added.join()}${members > 0 ? "," : ""}${element.slice(1)}`;
}

/** The id of an element's message: the event's, `:` and a string's value or the text of a number or boolean. */
function identify(event: Event, path: JsonPath, element: string, ids: Set<string>): string {
  const text = path.find(element);
  const id = text === undefined || /^[{[n]/.test(text) ? undefined : text.startsWith('"') ? decodeString(text) : text;
  if (id === undefined) throw Failure.poison("missing-id", "an element has no string or number at `id-field`");
  if (ids.has(id)) throw Failure.poison("repeated-id", "two elements have the same id");
  ids.add(id);
  return `${event.id}:${id}`;
}
