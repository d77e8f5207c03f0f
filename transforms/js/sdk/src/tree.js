// JSON as values, for transforms that would rather edit an object than a text.
// What an edit leaves alone keeps its text all the same: the edited value is
// compared with the one that was read, and only differences are written.

import { JsonCursor, checkJson, invalidJson } from "./cursor.js";
import { TextEdits } from "./edits.js";
import { pass, emit } from "./outcome.js";

/** Containers inside each other; as many as the Rust SDK reads. */
const MAX_DEPTH = 127;

/** Finds every number that a double might not hold: of sixteen digits, or with an exponent. */
const DOUBTFUL = /(?:^|[:,[\s])-?(?:[\d.]{16}|[\d.]+[eE])/;

let wroteNumber = false;

/** A number that a double cannot hold; see index.d.ts. */
export class JsonNumber {
  constructor(text) {
    this.text = text;
    Object.freeze(this);
  }

  valueOf() {
    return Number(this.text);
  }

  toString() {
    return this.text;
  }

  toJSON() {
    wroteNumber = true;
    return Number(this.text);
  }
}

/** Sign, digits without zeros at the ends, and the exponent of the last digit. */
function decimal(text) {
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d*)\.?(\d*)(?:e(.*))?$/i.exec(text);
  const digits = (whole + fraction).replace(/^0+/, "");
  const short = digits.replace(/0+$/, "");
  return short === "" ? "0" : `${sign}${short}e${Number(exponent) - fraction.length + digits.length - short.length}`;
}

function number(text) {
  const value = Number(text);
  return Number.isFinite(value) && decimal(String(value)) === decimal(text) ? value : new JsonNumber(text);
}

function tooDeep() {
  return invalidJson(`more than ${MAX_DEPTH} arrays and objects inside each other`);
}

/** Reads text that has been checked, numbers by `number`. */
function read(cursor, depth, number) {
  const kind = cursor.kind();
  if (kind !== "scalar" && depth === MAX_DEPTH) throw tooDeep();
  if (kind === "object") {
    const object = Object.create(null);
    for (let more = cursor.firstMember(); more; more = cursor.nextMember()) {
      const name = cursor.escaped ? JSON.parse(cursor.text.slice(cursor.keyStart, cursor.keyEnd)) : cursor.name;
      object[name] = read(cursor, depth + 1, number);
    }
    return object;
  }
  if (kind === "array") {
    const array = [];
    for (let more = cursor.firstElement(); more; more = cursor.nextElement()) {
      array.push(read(cursor, depth + 1, number));
    }
    return array;
  }
  const text = cursor.value();
  return /^[-0-9]/.test(text) ? number(text) : JSON.parse(text);
}

/** Takes the prototypes of what the native parser made, so that `in` finds members only. */
function bare(value, depth) {
  if (depth === MAX_DEPTH) throw tooDeep();
  if (Array.isArray(value)) {
    // By index: the engine takes long over an iterator.
    for (let index = 0; index < value.length; index++) {
      const element = value[index];
      if (typeof element === "object" && element !== null) bare(element, depth + 1);
    }
    return;
  }
  for (const name in value) {
    const member = value[name];
    if (typeof member === "object" && member !== null) bare(member, depth + 1);
  }
  Object.setPrototypeOf(value, null);
}

function readExactly(text, number) {
  checkJson(text);
  return read(new JsonCursor(text), 0, number);
}

/** The value, and what the native writer makes of it if that loses no digits. */
function readTree(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalidJson(error.message);
  }
  if (typeof value === "object" && value !== null) bare(value, 0);
  const written = JSON.stringify(value);
  if (written === text || !DOUBTFUL.test(text)) return { value, written };
  return { value: readExactly(text, number), written: undefined };
}

export function parseJson(text, options) {
  return options?.numbers === "text" ? readExactly(text, (digits) => new JsonNumber(digits)) : readTree(text).value;
}

export function writeJson(value) {
  wroteNumber = false;
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`a ${typeof value} has no JSON form`);
  return wroteNumber ? writeExactly(value) : text;
}

/** As `JSON.stringify`, but for the digits of a JsonNumber. */
function writeExactly(value) {
  if (value instanceof JsonNumber) return value.text;
  if (typeof value?.toJSON === "function") return writeExactly(value.toJSON());
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(writeExactly).join()}]`;
  const members = Object.entries(value).filter(([, member]) => JSON.stringify(member) !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${writeExactly(member)}`).join()}}`;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && typeof value.toJSON !== "function";
}

/** Edits the text of `before`, at the cursor, into one of `after`. */
function patch(cursor, before, after, edits) {
  if (alike(before, after)) {
    cursor.skip();
  } else if (isObject(before) && isObject(after) && cursor.kind() === "object") {
    patchObject(cursor, before, after, edits);
  } else if (Array.isArray(before) && Array.isArray(after) && cursor.kind() === "array") {
    patchArray(cursor, before, after, edits);
  } else {
    rewrite(cursor, after, edits);
  }
}

/** Whether both are written alike; what is no object or array is not. */
function alike(before, after) {
  return before === after || (typeof before === "object" && typeof after === "object" && writeJson(before) === writeJson(after));
}

function rewrite(cursor, after, edits) {
  cursor.skip();
  edits.replace(cursor.start, cursor.at, writeJson(after));
}

function isAbsent(value) {
  return value === undefined || typeof value === "function" || typeof value === "symbol";
}

function patchObject(cursor, before, after, edits) {
  const { text, at: start } = cursor;
  const made = edits.count;
  const commas = edits.commas();
  let end = start + 1;
  let members = 0;
  let kept = false;
  for (let more = cursor.firstMember(); more; more = cursor.nextMember()) {
    const { keyStart } = cursor;
    const name = cursor.escaped ? JSON.parse(text.slice(keyStart, cursor.keyEnd)) : cursor.name;
    if (isAbsent(after[name])) {
      cursor.skip();
      commas.removed(keyStart, cursor.at);
    } else {
      commas.keep(keyStart);
      patch(cursor, before[name], after[name], edits);
      commas.kept(cursor.at);
      kept = true;
    }
    end = cursor.at;
    members++;
  }
  commas.close();
  const names = Object.keys(before);
  if (members > names.length) {
    // A repeated name: which of its values a change is about, only the whole can tell.
    edits.undo(made);
    edits.replace(start, cursor.at, writeJson(after));
    return;
  }
  const added = Object.keys(after).filter((name) => !(name in before) && !isAbsent(after[name]));
  if (added.length > 0) {
    const written = added.map((name) => `${JSON.stringify(name)}:${writeJson(after[name])}`).join();
    edits.replace(end, end, kept ? `,${written}` : written);
  }
}

function patchArray(cursor, before, after, edits) {
  const commas = edits.commas();
  let end = cursor.at + 1;
  let index = 0;
  for (let more = cursor.firstElement(); more; more = cursor.nextElement()) {
    if (index < after.length) {
      patch(cursor, before[index], after[index] ?? null, edits);
      commas.kept(cursor.at);
    } else {
      cursor.skip();
      commas.removed(cursor.start, cursor.at);
    }
    end = cursor.at;
    index++;
  }
  commas.close();
  if (index < after.length) {
    const elements = writeJson(after.slice(index)).slice(1, -1);
    edits.replace(end, end, index > 0 ? `,${elements}` : elements);
  }
}

export function mapJson(event, edit) {
  if (event.operation === "delete" || event.payload === undefined) return pass();
  const text = event.text();
  const { value, written } = readTree(text);
  const outcome = edit(value);
  if (outcome !== undefined) return outcome;
  const edited = writeJson(value);
  if (edited === written) return pass();
  if (written === text) return emit({ payload: edited });
  const edits = new TextEdits(text);
  patch(new JsonCursor(text), readTree(text).value, value, edits);
  return edits.changed ? emit({ payload: edits.finish() }) : pass();
}

export function mapObject(event, edit) {
  return mapJson(event, (value) => (isObject(value) ? edit(value) : undefined));
}
