import { checkJson } from "./cursor.js";
import { Failure } from "./outcome.js";
import { parseJson } from "./tree.js";

// A byte order mark is no JSON, so it must not be swallowed.
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

function decode(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

function encode(content) {
  return typeof content === "string" ? encoder.encode(content) : (content ?? undefined);
}

/** One event, read only; see index.d.ts. */
export class Event {
  #text;
  #checked = false;

  constructor(event) {
    this.id = event.id;
    this.position = event.position;
    this.time = event.time;
    this.operation = event.operation;
    this.entity = event.entity;
    this.eventType = event.eventType;
    this.topic = event.topic;
    this.key = event.key;
    this.payload = event.payload;
    this.before = event.before;
    this.unchanged = event.unchanged;
    this.headers = event.headers;
  }

  /** For tests: an event with these fields. */
  static of(fields = {}) {
    const { key, payload, before, headers = [], ...others } = fields;
    return new Event({
      id: "1",
      position: { commit: 0n, index: 0n },
      time: 0n,
      operation: "insert",
      entity: "",
      eventType: "",
      topic: "",
      unchanged: [],
      ...others,
      key: encode(key),
      payload: encode(payload),
      before: encode(before),
      headers: headers.map(({ name, value }) => ({ name, value: encode(value) })),
    });
  }

  get date() {
    return new Date(Number(this.time / 1000n));
  }

  get keyText() {
    return this.key && decode(this.key);
  }

  header(name) {
    return this.headers.findLast((header) => header.name === name && header.value !== undefined)?.value;
  }

  headerText(name) {
    const value = this.header(name);
    return value && decode(value);
  }

  text() {
    if (this.#text === undefined && this.payload !== undefined) {
      this.#text = decode(this.payload);
      if (this.#text === undefined) throw Failure.poison("invalid-json", "payload is not UTF-8");
    }
    return this.#text;
  }

  jsonText() {
    const text = this.text();
    if (!this.#checked && text !== undefined) {
      checkJson(text);
      this.#checked = true;
    }
    return text;
  }

  json() {
    const text = this.text();
    if (text === undefined) throw Failure.poison("no-payload", "the event has no payload");
    return parseJson(text);
  }
}
