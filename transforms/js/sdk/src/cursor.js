// JSON by its text. The engine inside a component interprets, so validity is
// left to the native parser where its memory allows, and strings are searched
// with `indexOf` and compared in place.

import { Failure } from "./outcome.js";

/** Up to this many characters a text is checked by parsing it, which is fast and takes memory. */
const PARSED_WHOLE = 1 << 20;

/** How much of a deeply nested text is counted at a time. */
const PIECE = 4096;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const BLANK = /[ \t\n\r]*/y;
const CONTROL = /[\0-\x1f]/g;

/** Poison `invalid-json`. */
export function invalidJson(detail) {
  return Failure.poison("invalid-json", `payload: ${detail}`);
}

function unexpected(at) {
  return invalidJson(`not JSON at character ${at}`);
}

/** Throws poison `invalid-json` unless the text is JSON (RFC 8259), of any depth. */
export function checkJson(text) {
  if (text.length > PARSED_WHOLE) return checkByText(text);
  try {
    JSON.parse(text);
  } catch (error) {
    throw invalidJson(error.message);
  }
}

/** What the native parser checks, in memory that grows with the depth only. */
export function checkByText(text) {
  const open = [];
  let at = 0;
  let control = -1;
  const take = (pattern) => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) throw unexpected(at);
    at = pattern.lastIndex;
  };
  const string = () => {
    if (text.charCodeAt(at) !== QUOTE) throw unexpected(at);
    const start = at++;
    let slash = text.indexOf("\\", at);
    let end = text.indexOf('"', at);
    while (slash >= 0 && slash < end) {
      at = slash;
      take(ESCAPE);
      if (end < at) end = text.indexOf('"', at);
      slash = text.indexOf("\\", at);
    }
    if (end < 0) throw unexpected(text.length);
    if (control < start) {
      CONTROL.lastIndex = start;
      control = CONTROL.test(text) ? CONTROL.lastIndex - 1 : text.length;
    }
    if (control < end) throw unexpected(control);
    at = end + 1;
  };
  const key = () => {
    string();
    take(BLANK);
    if (text.charCodeAt(at++) !== COLON) throw unexpected(at - 1);
  };
  for (;;) {
    take(BLANK);
    const code = text.charCodeAt(at);
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      at++;
      take(BLANK);
      // In ASCII a closing bracket is two behind its opening one.
      if (text.charCodeAt(at) !== code + 2) {
        open.push(code);
        if (code === OPEN_OBJECT) key();
        continue;
      }
      at++;
    } else if (code === QUOTE) {
      string();
    } else {
      take(code === 0x2d || (code >= 0x30 && code <= 0x39) ? NUMBER : LITERAL);
    }
    for (;;) {
      take(BLANK);
      if (open.length === 0) {
        if (at < text.length) throw unexpected(at);
        return;
      }
      const inside = open[open.length - 1];
      const next = text.charCodeAt(at++);
      if (next === COMMA) {
        if (inside === OPEN_OBJECT) {
          take(BLANK);
          key();
        }
        break;
      }
      if (next !== inside + 2) throw unexpected(at - 1);
      open.pop();
    }
  }
}

/** The value of a string literal; `undefined` for other values and for lone surrogates. */
export function decodeString(literal) {
  if (literal.charCodeAt(0) !== QUOTE) return undefined;
  if (!literal.includes("\\")) return literal.slice(1, -1);
  const value = JSON.parse(literal);
  return value.isWellFormed() ? value : undefined;
}

/**
 * Walks JSON text that has been checked; see index.d.ts. Written for an
 * interpreter: characters are compared as strings of one, which exist once
 * each, and what is short stands where it is used, for a call costs as much as
 * looking at five characters.
 */
export class JsonCursor {
  constructor(text, at = 0) {
    this.text = text;
    this.at = at;
    this.start = at;
    this.keyStart = at;
    this.keyEnd = at;
    /** Whether the last name has escapes. */
    this.escaped = false;
    /** Where the next backslash is: a string that ends before it ends at its first quote. */
    this.slash = find(text, "\\", at);
  }

  kind() {
    let char = this.text[this.at];
    while (char <= " ") char = this.text[++this.at];
    return char === "{" ? "object" : char === "[" ? "array" : "scalar";
  }

  skip() {
    const text = this.text;
    let at = this.at;
    let char = text[at];
    while (char <= " ") char = text[++at];
    this.start = at;
    if (char === '"') {
      const end = text.indexOf('"', at + 1);
      this.at = end < 0 || end > this.slash ? this.string(at) : end + 1;
    } else if (char === "{" || char === "[") {
      this.at = this.container(at);
    } else {
      // A number or literal, up to a comma, bracket, blank or the end.
      while ((char > "," && char !== "}" && char !== "]") || char === "+") char = text[++at];
      if (at === this.start) throw unexpected(at);
      this.at = at;
    }
  }

  value() {
    this.skip();
    return this.text.slice(this.start, this.at);
  }

  firstMember() {
    return this.firstElement("{", "}") && this.key(this.at);
  }

  nextMember() {
    const text = this.text;
    let at = this.at;
    let char = text[at];
    while (char <= " ") char = text[++at];
    if (char === ",") return this.key(at + 1);
    if (char !== "}") throw unexpected(at);
    this.at = at + 1;
    return false;
  }

  firstElement(open = "[", close = "]") {
    const text = this.text;
    let at = this.at;
    let char = text[at];
    while (char <= " ") char = text[++at];
    if (char !== open) throw unexpected(at);
    char = text[++at];
    while (char <= " ") char = text[++at];
    const more = char !== close;
    this.at = more ? at : at + 1;
    return more;
  }

  nextElement() {
    const text = this.text;
    let at = this.at;
    let char = text[at];
    while (char <= " ") char = text[++at];
    if (char !== "," && char !== "]") throw unexpected(at);
    this.at = at + 1;
    return char === ",";
  }

  get name() {
    const literal = this.text.slice(this.keyStart, this.keyEnd);
    return (this.escaped ? decodeString(literal) : undefined) ?? literal.slice(1, -1);
  }

  nameIs(name) {
    if (this.escaped) return this.name === name;
    return this.keyEnd - this.keyStart - 2 === name.length && this.text.startsWith(name, this.keyStart + 1);
  }

  nameIn(names) {
    if (this.escaped) return names.indexOf(this.name);
    const at = this.keyStart + 1;
    const length = this.keyEnd - at - 1;
    for (let index = 0; index < names.length; index++) {
      if (names[index].length === length && this.text.startsWith(names[index], at)) return index;
    }
    return -1;
  }

  /** Reads the name at `at` and its colon. */
  key(at) {
    const text = this.text;
    let char = text[at];
    while (char <= " ") char = text[++at];
    if (char !== '"') throw unexpected(at);
    this.keyStart = at;
    const end = text.indexOf('"', at + 1);
    this.escaped = end > this.slash;
    at = end < 0 || this.escaped ? this.string(at) : end + 1;
    this.keyEnd = at;
    char = text[at];
    while (char <= " ") char = text[++at];
    if (char !== ":") throw unexpected(at);
    this.at = at + 1;
    return true;
  }

  /** Just behind the string that begins at `at` and may have escapes. */
  string(at) {
    const text = this.text;
    let end = find(text, '"', at + 1);
    while (this.slash < end) {
      if (this.slash + 1 === end) end = find(text, '"', end + 1);
      this.slash = find(text, "\\", this.slash + 2);
    }
    if (end === text.length) throw unexpected(at);
    return end + 1;
  }

  /** Just behind the object or array that begins at `at`. */
  container(at) {
    const text = this.text;
    const long = text.length - at > PIECE;
    let depth = 0;
    for (;;) {
      const char = text[at];
      // What comes most is told apart first: brackets stand high in ASCII.
      if (char <= ":") {
        if (char === '"') {
          const end = text.indexOf('"', at + 1);
          at = end < 0 || end > this.slash ? this.string(at) : end + 1;
        } else {
          at++;
        }
        continue;
      }
      at++;
      if (char === "}" || char === "]") {
        if (--depth === 0) return at;
      } else if (char === "{" || char === "[") {
        depth++;
      } else if (char === undefined) {
        throw unexpected(at);
      }
      // Hostile nesting: what cannot close all that is open is counted natively.
      if (long && depth > 64) [at, depth] = this.deep(at, depth);
    }
  }

  /** Over text without a string that closes less than is open. */
  deep(at, depth) {
    const text = this.text;
    const quote = find(text, '"', at);
    while (quote - at > 64 && depth > 64) {
      const piece = text.slice(at, Math.min(quote, at + Math.min(depth - 1, PIECE)));
      depth += count(piece, "[") + count(piece, "{") - count(piece, "]") - count(piece, "}");
      at += piece.length;
    }
    return [at, depth];
  }
}

function count(text, char) {
  return text.split(char).length - 1;
}

function find(text, what, from) {
  const at = text.indexOf(what, from);
  return at < 0 ? text.length : at;
}
