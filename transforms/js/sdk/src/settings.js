import { JsonPath } from "./path.js";
import { JsonNumber, parseJson, writeJson } from "./tree.js";

/** Settings that a transform cannot work with; the host shows the message to the operator. */
export class SettingsError extends Error {
  name = "SettingsError";
}

/** One setting: how its value is read, and what makes the value of an absent one. */
export class Setting {
  #read;
  #fallback;
  #optional;
  /** Whether `null` is a value, and not an absent one. */
  #nullable;

  constructor(read, { fallback, optional = false, nullable = false } = {}) {
    this.#read = read;
    this.#fallback = fallback;
    this.#optional = optional;
    this.#nullable = nullable;
  }

  optional() {
    return new Setting(this.#read, { optional: true, nullable: this.#nullable });
  }

  as(convert) {
    const read = (value, at) => {
      const found = this.#read(value, at);
      try {
        return convert(found);
      } catch (error) {
        throw refused(at, error.message);
      }
    };
    const [made, optional, nullable] = [this.#fallback, this.#optional, this.#nullable];
    return new Setting(read, { fallback: made && (() => convert(made())), optional, nullable });
  }

  /** The value at the place `at`; `undefined` means that it is absent. */
  read(value, at) {
    if (value === null && this.#optional && !this.#nullable) return undefined;
    if (value !== undefined) return this.#read(value, at);
    if (this.#optional) return undefined;
    if (this.#fallback === undefined) {
      const [, parent = "", name = at] = /^(?:(.*)\.)?([^.]*)$/.exec(at) ?? [];
      throw refused(parent, `missing field \`${name}\``);
    }
    return this.#fallback();
  }
}

function refused(at, why) {
  return new SettingsError(at === "" ? `settings: ${why}` : `settings: ${at}: ${why}`);
}

function kind(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string") return `string ${JSON.stringify(value)}`;
  return isTable(value) ? "a table" : `\`${value}\``;
}

function isTable(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber);
}

/** Makes a default, anew for each reader; none of `undefined`. */
function defaultOf(fallback) {
  return fallback === undefined ? undefined : () => structuredClone(fallback);
}

/** A setting of a kind that one test tells. */
function plain(test, expected, fallback) {
  const read = (value, at) => {
    if (!test(value)) throw refused(at, `invalid type: ${kind(value)}, expected ${expected}`);
    return value;
  };
  return new Setting(read, { fallback: defaultOf(fallback) });
}

function joined(at, name) {
  return at === "" ? name : `${at}.${name}`;
}

function readObject(shape, value, at) {
  if (!isTable(value)) throw refused(at, at === "" ? "not an object" : `invalid type: ${kind(value)}, expected a table`);
  const names = Object.keys(shape);
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(shape, name)) {
      const known = names.map((name) => `\`${name}\``).join(", ");
      const expected = names.length === 0 ? "there are none" : `expected ${names.length > 1 ? "one of " : ""}${known}`;
      throw refused(joined(at, name), `unknown field \`${name}\`, ${expected}`);
    }
  }
  return Object.fromEntries(names.map((name) => [name, shape[name].read(value[name], joined(at, name))]));
}

export const setting = {
  string: (fallback) => plain((value) => typeof value === "string", "a string", fallback),
  boolean: (fallback) => plain((value) => typeof value === "boolean", "a boolean", fallback),
  number: (fallback) => plain((value) => value instanceof JsonNumber, "a number", fallback).as(Number),

  json: (fallback) => new Setting((value) => parseJson(writeJson(value)), { fallback: defaultOf(fallback), nullable: true }),
  jsonText: (fallback) => new Setting(writeJson, { fallback: defaultOf(fallback), nullable: true }),

  path: () => setting.string().as(JsonPath.parse),

  oneOf: (...names) =>
    setting.string().as((value) => {
      if (names.includes(value)) return value;
      throw new Error(`unknown variant \`${value}\`, expected one of ${names.map((name) => `\`${name}\``).join(", ")}`);
    }),

  list(item, fallback) {
    const read = (value, at) => {
      if (!Array.isArray(value)) throw refused(at, `invalid type: ${kind(value)}, expected a list`);
      return value.map((element, index) => item.read(element, `${at}[${index}]`));
    };
    return new Setting(read, { fallback: defaultOf(fallback) });
  },

  map(item, fallback) {
    const read = (value, at) => {
      if (!isTable(value)) throw refused(at, `invalid type: ${kind(value)}, expected a table`);
      return new Map(Object.keys(value).map((name) => [name, item.read(value[name], joined(at, name))]));
    };
    return new Setting(read, { fallback: defaultOf(fallback && new Map(Object.entries(fallback))) });
  },

  object: (shape) => new Setting((value, at) => readObject(shape, value, at)),
};

/** Reads the text of settings, `{}` if empty, as the shape says. */
export function readSettings(shape, text) {
  let value;
  try {
    // Numbers as they are written, which some settings want to know.
    value = parseJson(text.trim() === "" ? "{}" : text, { numbers: "text" });
  } catch (error) {
    throw refused("", `not JSON: ${error.detail ?? error.message}`);
  }
  return readObject(shape, value, "");
}
