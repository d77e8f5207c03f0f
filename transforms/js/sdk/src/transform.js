import { SettingsError, readSettings } from "./settings.js";

const PARTS = ["settings", "create", "unused", "apply"];
const INPUTS = ["payload", "before", "headers"];

/** Defines a transform; see index.d.ts. */
export function transform(definition) {
  for (const name of Object.keys(definition)) {
    if (!PARTS.includes(name)) throw new TypeError(`transform(): \`${name}\` is none of ${PARTS.join(", ")}`);
  }
  if (typeof definition.apply !== "function") throw new TypeError("transform(): `apply` must be a function");
  return new Transform(definition);
}

/** A transform that settings make instances of. */
export class Transform {
  #definition;

  constructor(definition) {
    this.#definition = definition;
  }

  create(settings = {}) {
    const { settings: shape = {}, create, unused = [], apply } = this.#definition;
    const read = readSettings(shape, typeof settings === "string" ? settings : JSON.stringify(settings));
    const state = create ? create(read) : read;
    return {
      unused: flags(typeof unused === "function" ? unused(state) : unused),
      apply: (event) => apply.call(this.#definition, event, state),
    };
  }
}

function flags(names) {
  for (const name of names) {
    if (!INPUTS.includes(name)) throw new TypeError(`\`unused\`: ${JSON.stringify(name)} is none of ${INPUTS.join(", ")}`);
  }
  return Object.fromEntries(INPUTS.map((name) => [name, names.includes(name)]));
}

/** Throws what an operator reads as the reason of a refusal. */
export function refuse(why) {
  throw new SettingsError(why);
}
