/** Why an event has no outcome; see index.d.ts. */
export class Failure extends Error {
  constructor(kind, code, detail = "") {
    super(`${code}: ${detail}`);
    this.name = "Failure";
    this.kind = kind;
    this.code = code;
    this.detail = detail;
  }

  static poison(code, detail) {
    return new Failure("poison", code, detail);
  }

  static halt(code, detail) {
    return new Failure("halt", code, detail);
  }
}

const PASS = Object.freeze({ tag: "pass" });

export function pass() {
  return PASS;
}

export function drop(reason) {
  return { tag: "drop", reason };
}

export function dropIf(condition, reason) {
  return condition ? drop(reason) : PASS;
}

export function emit(messages) {
  return { tag: "emit", messages: Array.isArray(messages) ? messages : [messages] };
}

export function route(topic) {
  return emit({ topic });
}
