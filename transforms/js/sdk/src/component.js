// The only module that knows how a component's bindings look.

import { Event } from "./event.js";
import { describe, log, logTo } from "./log.js";
import { Failure } from "./outcome.js";
import { SettingsError } from "./settings.js";
import { Transform } from "./transform.js";

const encoder = new TextEncoder();

/** What the component exports as `transformer`, for the transform that a module exports as its default. */
export function component(transform, hostLog) {
  if (!(transform instanceof Transform)) {
    throw new TypeError("the module must `export default transform({ … })`");
  }
  let current;
  logTo((level, message) => hostLog(level, message, current));
  Object.assign(console, log, { log: log.info });

  class Instance {
    #made;

    static create(settings) {
      withoutClock();
      try {
        const instance = new Instance();
        instance.#made = transform.create(settings);
        return instance;
      } catch (error) {
        // The bindings take a thrown string as the error of `create`.
        throw error instanceof SettingsError ? error.message : describe(error);
      }
    }

    unused() {
      return this.#made.unused;
    }

    process(events) {
      const { apply } = this.#made;
      const outcomes = events.map((event, index) => {
        current = index;
        try {
          return lower(apply(new Event(event)));
        } catch (error) {
          return failed(error);
        }
      });
      current = undefined;
      return outcomes;
    }
  }

  return { Transform: Instance };
}

/** What they would give was fixed when the component was built. */
function withoutClock() {
  const none = (what, instead) => () => {
    throw new Error(`a transform has no ${what}: ${instead}`);
  };
  const now = none("clock", "use the event's `time`");
  Math.random = none("randomness", "make it from the event's `id`");
  Date.now = now;
  const { Date: Real } = globalThis;
  if (Real.withoutClock) return;
  globalThis.Date = new Proxy(Real, {
    apply: now,
    construct: (target, args, made) => (args.length === 0 ? now() : Reflect.construct(target, args, made)),
  });
  Real.withoutClock = true;
}

function failed(error) {
  if (!(error instanceof Failure)) error = Failure.poison("exception", describe(error));
  const { kind, code, detail } = error;
  return { tag: "fail", val: { kind, code: String(code), detail: String(detail) } };
}

function wrong(what, value, expected) {
  const found = value === null || typeof value === "number" ? value : Array.isArray(value) ? "an array" : typeof value;
  return new TypeError(`${what} is ${found}; it must be ${expected}`);
}

function lower(outcome) {
  switch (outcome?.tag) {
    case "pass":
      return outcome;
    case "drop":
      return { tag: "drop", val: optionalString(outcome.reason, "drop(): the reason") };
    case "emit": {
      const { messages } = outcome;
      return { tag: "emit", val: messages.map((message, index) => lowerMessage(message, at(messages, index))) };
    }
  }
  if (outcome instanceof Failure) return failed(outcome);
  if (typeof outcome?.then === "function") {
    throw new TypeError("`apply` returned a promise; it must not be async: there is nothing to wait for");
  }
  throw wrong("what `apply` returned", outcome, "pass(), drop(), emit(), route() or a Failure");
}

function at(messages, index) {
  return messages.length > 1 ? `messages[${index}]` : "the message";
}

function optionalString(value, what) {
  if (value !== undefined && typeof value !== "string") throw wrong(what, value, "a string");
  return value;
}

function lowerMessage(message, what) {
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    throw wrong(what, message, "an object such as { payload: text }");
  }
  const lowered = {};
  for (const name in message) {
    const value = message[name];
    if (value === undefined) continue;
    switch (name) {
      case "id":
      case "eventType":
      case "topic":
        lowered[name] = optionalString(value, `\`${name}\` of ${what}`);
        break;
      case "partition":
        if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
          throw wrong(`\`partition\` of ${what}`, value, "an integer from 0 to 4294967295");
        }
        lowered.partition = value;
        break;
      case "key":
      case "payload":
        lowered[name] = value === null ? { tag: "null" } : { tag: "bytes", val: bytes(value, `\`${name}\` of ${what}`) };
        break;
      case "headers":
        lowered.headers = lowerHeaders(value, what);
        break;
      default:
        throw new TypeError(`${what} has \`${name}\`, which is no field of a message: id, eventType, topic, partition, key, payload, headers`);
    }
  }
  return lowered;
}

function bytes(value, what) {
  // Encoded here, natively: the bindings would look at each character of a text.
  if (typeof value === "string") return encoder.encode(value);
  if (value instanceof Uint8Array) return value;
  throw wrong(what, value, "a string, a Uint8Array or null");
}

function lowerHeaders(edit, what) {
  if (typeof edit !== "object" || edit === null || Array.isArray(edit)) {
    throw wrong(`\`headers\` of ${what}`, edit, "an object such as { remove: [name], append: [{ name, value }] }");
  }
  const { remove = [], append = [], ...others } = edit;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new TypeError(`\`headers\` of ${what} has \`${unknown}\`; it may have remove and append`);
  if (!Array.isArray(remove)) throw wrong(`\`headers.remove\` of ${what}`, remove, "an array of names");
  if (!Array.isArray(append)) throw wrong(`\`headers.append\` of ${what}`, append, "an array of { name, value }");
  remove.forEach((name, index) => {
    if (typeof name !== "string") throw wrong(`\`headers.remove[${index}]\` of ${what}`, name, "a string");
  });
  return {
    remove,
    append: append.map((header, index) => {
      const where = `\`headers.append[${index}]\` of ${what}`;
      if (typeof header?.name !== "string") throw wrong(where, header, "{ name: string, value: string, Uint8Array or null }");
      const { name, value } = header;
      return { name, value: value === null || value === undefined ? undefined : bytes(value, `value of ${where}`) };
    }),
  };
}
