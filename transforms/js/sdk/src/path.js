import { JsonCursor } from "./cursor.js";

const EMPTY_NAME = "a path has no empty name: write it like `customer.email`";
const BRACKET = "`[` must be followed by `]`, and that by `.`, `[]` or the end";
const ESCAPE = "`\\` must be followed by a character";

/** Where values stand: `customer.email`, `items[].note`; see index.d.ts. */
export class JsonPath {
  constructor(steps) {
    this.steps = steps;
  }

  static parse(text) {
    const wrong = (why) => new Error(`\`${text}\`: ${why}`);
    const chars = [...text];
    const steps = [];
    // Whether a name may, or must, come next.
    let allowed = true;
    let required = true;
    for (let at = 0; at < chars.length; ) {
      if (chars[at] === "[") {
        if (chars[at + 1] !== "]" || (required && steps.length > 0)) throw wrong(BRACKET);
        steps.push(null);
        at += 2;
        allowed = required = false;
      } else if (chars[at] === ".") {
        if (required) throw wrong(EMPTY_NAME);
        at++;
        allowed = required = true;
      } else if (!allowed) {
        throw wrong(BRACKET);
      } else {
        let name = "";
        for (; at < chars.length && chars[at] !== "." && chars[at] !== "["; at++) {
          if (chars[at] === "\\" && ++at === chars.length) throw wrong(ESCAPE);
          name += chars[at];
        }
        steps.push(name);
        allowed = required = false;
      }
    }
    if (required) throw wrong(EMPTY_NAME);
    return new JsonPath(steps);
  }

  get isPlural() {
    return this.steps.includes(null);
  }

  get lastName() {
    return this.steps.at(-1) ?? undefined;
  }

  find(text) {
    let found;
    this.visit(text, (value) => (found = value));
    return found;
  }

  visit(text, each) {
    walk(this.steps, 0, new JsonCursor(text), each);
  }
}

/** Gives what the steps from `index` on mean in the value at the cursor, and moves past that value. */
function walk(steps, index, cursor, each) {
  if (index === steps.length) {
    each(cursor.value());
    return;
  }
  const step = steps[index];
  const kind = cursor.kind();
  if (step === null && kind === "array") {
    for (let more = cursor.firstElement(); more; more = cursor.nextElement()) {
      walk(steps, index + 1, cursor, each);
    }
  } else if (step !== null && kind === "object") {
    let last = -1;
    let end = -1;
    for (let more = cursor.firstMember(); more; more = cursor.nextMember()) {
      // Before the value is read, for that reads over names of its own.
      const named = cursor.nameIs(step);
      cursor.skip();
      if (named) [last, end] = [cursor.start, cursor.at];
    }
    if (last < 0) return;
    if (index + 1 === steps.length) each(cursor.text.slice(last, end));
    else walk(steps, index + 1, new JsonCursor(cursor.text, last), each);
  } else {
    cursor.skip();
  }
}
