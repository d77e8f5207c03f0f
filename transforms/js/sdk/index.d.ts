/**
 * SDK for relay transforms in JavaScript and TypeScript.
 *
 * A module exports its transform as the default:
 *
 *     import { drop, mapObject, setting, transform } from "relay-guest";
 *
 *     export default transform({
 *       settings: { mask: setting.string("email") },
 *       apply(event, { mask }) {
 *         return mapObject(event, (row) => {
 *           if (row.test === true) return drop("test");
 *           if (mask in row) row[mask] = "***";
 *         });
 *       },
 *     });
 */

// ---- Transforms ----------------------------------------------------------

/** What the host need not copy in, if a transform does not read it. */
export type Input = "payload" | "before" | "headers";

/** What {@link transform} is given. */
export interface Definition<S extends Shape, State> {
  /** Names and kinds of the settings; any other in the config is refused by name. None if left out. */
  settings?: S;
  /**
   * Called once with the settings. What it returns comes to {@link apply} in
   * the settings' place. It may {@link refuse} them.
   */
  create?: (settings: SettingsOf<S>) => State;
  /**
   * Inputs that are never read: they arrive empty, and a payload that was not
   * copied looks like a tombstone. Leaving it out is always correct, only slower.
   */
  unused?: readonly Input[] | ((state: State) => readonly Input[]);
  /**
   * What becomes of one event. It must not be async: there is no clock, no
   * randomness and no I/O, and the same event must give the same outcome. What
   * is remembered between events is only a cache: the host may replace the
   * instance at any time. Anything thrown that is no {@link Failure} becomes
   * poison `exception` of this event, with message and stack as its detail.
   */
  apply: (event: Event, state: State) => Outcome | Failure;
}

/** A transform, as a module exports it. */
export interface Transform {
  /**
   * Makes an instance as the host does: from the text of a JSON object, or from
   * that object. Throws a {@link SettingsError} if the settings are refused.
   */
  create(settings?: string | object): Instance;
}

/** A transform with its settings. */
export interface Instance {
  readonly unused: Readonly<Record<Input, boolean>>;
  /** As in the {@link Definition}; exceptions come out as they are. */
  apply(event: Event): Outcome | Failure;
}

/** Defines a transform. */
export function transform<S extends Shape = {}, State = SettingsOf<S>>(definition: Definition<S, State>): Transform;

// ---- Events --------------------------------------------------------------

/** What happened in the source. */
export type Operation = "insert" | "update" | "delete" | "truncate" | "snapshot" | "message";

/** A record header. Names may repeat; a header without a value is Kafka's null header value. */
export interface Header {
  readonly name: string;
  readonly value?: Uint8Array;
}

/** What an {@link Event} is made of in a test. */
export interface EventFields {
  id?: string;
  position?: { commit: bigint; index: bigint };
  time?: bigint;
  operation?: Operation;
  entity?: string;
  eventType?: string;
  topic?: string;
  key?: string | Uint8Array | null;
  payload?: string | Uint8Array | null;
  before?: string | Uint8Array | null;
  unchanged?: string[];
  headers?: { name: string; value?: string | Uint8Array | null }[];
}

/** One event, read only. */
export class Event {
  private constructor();
  /** An event for a test: an insert with the id `1`, at position 0, unless the fields say otherwise. */
  static of(fields?: EventFields): Event;

  /** Stable across redelivery and unique in the pipeline: the idempotency key. */
  readonly id: string;
  /** Place in the source; events made from one event share it. */
  readonly position: { readonly commit: bigint; readonly index: bigint };
  /** When it happened (outbox) or was committed (CDC), in microseconds since the Unix epoch. There is no other clock. */
  readonly time: bigint;
  readonly operation: Operation;
  /** Outbox: aggregate type. CDC: `schema.table`. Logical message: its prefix. */
  readonly entity: string;
  /** Outbox: event type; otherwise the operation's name. A transform before this one may have changed it. */
  readonly eventType: string;
  /** Where it is published if no transform chooses. */
  readonly topic: string;
  /** Orders events and picks the partition. */
  readonly key: Uint8Array | undefined;
  /** `undefined` is a tombstone, or a payload declared unused. */
  readonly payload: Uint8Array | undefined;
  /** CDC: the row before the change, where known. */
  readonly before: Uint8Array | undefined;
  /** CDC: columns that did not change and were not sent, absent from the payload. */
  readonly unchanged: readonly string[];
  readonly headers: readonly Header[];

  /** {@link time}, to the millisecond. */
  get date(): Date;
  /** The key as text; `undefined` if there is none or it is not UTF-8. */
  get keyText(): string | undefined;
  /** The last header of that name that has a value. */
  header(name: string): Uint8Array | undefined;
  /** The last header of that name that has a value, as text; `undefined` too if it is not UTF-8. */
  headerText(name: string): string | undefined;
  /** The payload as text; `undefined` for a tombstone. Poison `invalid-json` if it is not UTF-8. */
  text(): string | undefined;
  /** The payload as text that {@link checkJson} has checked; `undefined` for a tombstone. */
  jsonText(): string | undefined;
  /** The payload as by {@link parseJson}. Poison `no-payload` for a tombstone. {@link mapJson} lets those through. */
  json(): JsonValue;
}

// ---- Outcomes ------------------------------------------------------------

/** What becomes of an event that did not fail. Made by {@link pass}, {@link drop}, {@link emit} and {@link route}. */
export type Outcome =
  | { readonly tag: "pass" }
  | { readonly tag: "drop"; readonly reason: string | undefined }
  | { readonly tag: "emit"; readonly messages: readonly Message[] };

/** A message to publish, written as changes to the event: what is left out stays, and costs no copy. */
export interface Message {
  /** Left out: the event's id; in a list of several, that id, `:` and the index. */
  id?: string | undefined;
  /** What the next transform sees as the event's type. */
  eventType?: string | undefined;
  /** One that the config allows. */
  topic?: string | undefined;
  /** Left out: by key. */
  partition?: number | undefined;
  /** `null` for a null key. Order holds per *source* key; a new key brings no order of its own. */
  key?: string | Uint8Array | null | undefined;
  /** `null` for a tombstone. */
  payload?: string | Uint8Array | null | undefined;
  headers?: HeaderEdit | undefined;
}

/** Removals by name first, then appends. Names that begin with `relay-` are the host's. */
export interface HeaderEdit {
  remove?: readonly string[];
  append?: readonly { name: string; value?: string | Uint8Array | null }[];
}

/** Publish the event unchanged. */
export function pass(): Outcome;
/** Publish nothing. The reason becomes a metric label, so it must be one of a few. */
export function drop(reason?: string): Outcome;
/** {@link drop} with that reason if the condition holds, {@link pass} otherwise. */
export function dropIf(condition: boolean, reason?: string): Outcome;
/** Publish a message, or several in this order. An empty array drops the event. */
export function emit(messages: Message | readonly Message[]): Outcome;
/** The event as it is, to another topic. */
export function route(topic: string): Outcome;

/** Why an event has no outcome: to be thrown, or returned. */
export class Failure extends Error {
  private constructor();
  /** This event can never succeed; the config says what becomes of it. */
  static poison(code: string, detail?: string): Failure;
  /** The transform itself is unusable: the host stops and alerts. */
  static halt(code: string, detail?: string): Failure;
  readonly kind: "poison" | "halt";
  /** A metric label: one of a few, never made from data. */
  readonly code: string;
  /** Goes to the dead letter. */
  readonly detail: string;
}

// ---- JSON as values ------------------------------------------------------

/** A JSON value. Objects have no prototype: `name in object` finds members only. */
export type JsonValue = null | boolean | number | string | JsonNumber | JsonValue[] | JsonObject;
/** A JSON object. */
export interface JsonObject {
  [name: string]: JsonValue;
}

/**
 * A number that a double cannot hold, such as 12345678901234567890.10. It keeps
 * its digits wherever it is put; arithmetic and `<` see the nearest double,
 * `String(number)` gives the digits.
 */
export class JsonNumber {
  constructor(text: string);
  readonly text: string;
  valueOf(): number;
  toString(): string;
  toJSON(): number;
}

/**
 * Edits the payload as JSON: `edit` changes the value that it is given, or
 * returns an outcome of its own. What it leaves alone keeps its text, from
 * digits of numbers to white space; an event without a change passes. So do
 * tombstones and deletes. A payload that is not JSON is poison `invalid-json`.
 */
export function mapJson(event: Event, edit: (value: JsonValue) => Outcome | Failure | void): Outcome | Failure;
/** As {@link mapJson}, for payloads that are objects; all others pass. */
export function mapObject(event: Event, edit: (object: JsonObject) => Outcome | Failure | void): Outcome | Failure;
/**
 * Reads JSON: numbers that a double cannot hold as {@link JsonNumber}, of a
 * repeated name the last value. Throws poison `invalid-json` for what is not
 * JSON or is nested more than 127 deep. `numbers: "text"` makes every number a
 * {@link JsonNumber}.
 */
export function parseJson(text: string, options?: { numbers?: "text" }): JsonValue;
/** Writes a value as `JSON.stringify` does, but with all digits of a {@link JsonNumber}. */
export function writeJson(value: unknown): string;

// ---- JSON as text --------------------------------------------------------

/** Throws poison `invalid-json` unless the text is JSON (RFC 8259). Depth is no limit. */
export function checkJson(text: string): void;
/**
 * The value of a JSON string literal, quotes included; `undefined` for any
 * other value, and for one with a lone surrogate.
 */
export function decodeString(literal: string): string | undefined;

/**
 * Where values stand: `customer.email`, `items[].note`, `[].id`. Names are
 * parted by `.`; `[]` is every element of an array, and an array is never
 * entered without it. A backslash takes the next character as it is: `a\.b` is
 * one name.
 */
export class JsonPath {
  private constructor();
  /** Throws an error that says what is wrong with the text. */
  static parse(text: string): JsonPath;
  /** Names, and `null` for `[]`. */
  readonly steps: readonly (string | null)[];
  /** Whether it can mean more than one value. */
  get isPlural(): boolean;
  /** The last name in it, if it ends in one. */
  get lastName(): string | undefined;
  /** The JSON text of the value, the last one of a plural path. The text must have been checked. */
  find(text: string): string | undefined;
  /**
   * Gives the JSON text of each value that the path means, in order. Of a
   * repeated name the last value counts. The text must have been checked.
   */
  visit(text: string, each: (value: string) => void): void;
}

/**
 * Walks JSON text that has been checked, from its start to its end. Values
 * nobody looks into are skipped in a loop, however deep.
 *
 *     for (let more = cursor.firstMember(); more; more = cursor.nextMember()) {
 *       if (cursor.nameIs("card")) found = cursor.value();
 *       else cursor.skip();
 *     }
 */
export class JsonCursor {
  /** At the value that begins at `at`, or at white space before it. */
  constructor(text: string, at?: number);
  readonly text: string;
  /** Just behind what was read. */
  readonly at: number;
  /** Where the value begins that was skipped last. */
  readonly start: number;
  /** Where the last member's name begins and ends, quotes included. */
  readonly keyStart: number;
  readonly keyEnd: number;
  /** What the next value is; it is not read. */
  kind(): "object" | "array" | "scalar";
  /** Reads past a value: from {@link start} to {@link at}. */
  skip(): void;
  /** Reads past a value and gives its text. */
  value(): string;
  /** Enters an object; whether it has a member, whose value comes next. */
  firstMember(): boolean;
  /** Whether there is another member, whose value comes next; if not, the object is behind. */
  nextMember(): boolean;
  /** Enters an array; whether it has an element, which comes next. */
  firstElement(): boolean;
  /** Whether there is another element, which comes next; if not, the array is behind. */
  nextElement(): boolean;
  /**
   * The member's name with escapes decoded (a lone surrogate leaves it as
   * written). To be asked before the value is read.
   */
  get name(): string;
  /** Whether that is the member's name; faster than to make {@link name}. */
  nameIs(name: string): boolean;
  /** Which of these names is the member's; -1 if none. */
  nameIn(names: readonly string[]): number;
}

/** Changes to a text, made in the order of the text. */
export class TextEdits {
  constructor(text: string);
  /** Puts a text in the place from `start` to `end`. */
  replace(start: number, end: number, text: string): void;
  /** Whether there was an edit. */
  get changed(): boolean;
  /** How many edits there were. */
  get count(): number;
  /** Takes back all edits but the first `count`. */
  undo(count: number): void;
  /** The text with the edits. */
  finish(): string;
  /** For an object or array from which something is removed. */
  commas(): Commas;
}

/** Which commas go with what is removed from one object or array. It is told of each member or element, in order. */
export interface Commas {
  /** This one begins at `start` and stays. To be said before any edit inside it. */
  keep(start: number): void;
  /** The one that stays ends at `end`. */
  kept(end: number): void;
  /** This one, from `start` to `end`, goes. */
  removed(start: number, end: number): void;
  /** There are no more. */
  close(): void;
}

// ---- Settings ------------------------------------------------------------

/** Names and kinds of settings. */
export type Shape = Readonly<Record<string, Setting<any>>>;
/** The settings that a shape reads. */
export type SettingsOf<S extends Shape> = { [name in keyof S]: S[name] extends Setting<infer T> ? T : never };

/** One setting. Without a default and unless {@link optional} it is required. */
export class Setting<T> {
  private constructor();
  /** May be absent: `undefined` then. */
  optional(): Setting<T | undefined>;
  /** Converted; an error that `convert` throws refuses the setting by its name. */
  as<U>(convert: (value: T) => U): Setting<U>;
  /** The value at that place in the settings. */
  read(value: JsonValue | undefined, at: string): T;
}

/** The kinds of settings. The argument is the default. */
export const setting: {
  string(fallback?: string): Setting<string>;
  boolean(fallback?: boolean): Setting<boolean>;
  number(fallback?: number): Setting<number>;
  /** Any JSON value, `null` included. */
  json(fallback?: JsonValue): Setting<JsonValue>;
  /** Any JSON value as its text, digits of numbers as written. */
  jsonText(fallback?: string): Setting<string>;
  /** A {@link JsonPath}. */
  path(): Setting<JsonPath>;
  /** One of these strings. */
  oneOf<const Names extends readonly string[]>(...names: Names): Setting<Names[number]>;
  list<T>(item: Setting<T>, fallback?: T[]): Setting<T[]>;
  /** A table with names that the operator chooses. */
  map<T>(item: Setting<T>, fallback?: Record<string, T>): Setting<Map<string, T>>;
  /** A table with these settings. */
  object<S extends Shape>(shape: S): Setting<SettingsOf<S>>;
};

/** Settings that a transform cannot work with. */
export class SettingsError extends Error {}
/** Refuses the settings; the operator reads why, so it should name the setting. */
export function refuse(why: string): never;

// ---- Log -----------------------------------------------------------------

/**
 * Lines to the host's log, which limits their rate and length and adds the
 * event being processed. Values that are no strings are written as JSON.
 * `console.log` and its kin go there too. Outside a component they go nowhere.
 */
export const log: Readonly<Record<"trace" | "debug" | "info" | "warn" | "error", (...parts: unknown[]) => void>>;
