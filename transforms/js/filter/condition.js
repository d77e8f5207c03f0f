import { JsonNumber, parseJson, refuse, setting } from "relay-guest";

const operation = setting.oneOf("insert", "update", "delete", "truncate", "snapshot", "message");

/** A condition holds when every part that is given holds. */
export const condition = {
  "event-type": setting.list(setting.string()).optional(),
  entity: setting.list(setting.string()).optional(),
  operation: setting.list(operation).optional(),
  /** A value in the payload; with one of the three below. A plural path asks whether any of its values does. */
  field: setting.path().optional(),
  equals: setting.jsonText().as(comparable).optional(),
  in: setting.list(setting.jsonText().as(comparable)).optional(),
  /** JSON null exists. */
  exists: setting.boolean().optional(),
};

/** @typedef {import("relay-guest").JsonValue} JsonValue */
/** @typedef {import("relay-guest").SettingsOf<typeof condition>} Condition */

/** @type {(condition: Condition, at: string) => void} */
export function check({ "event-type": eventType, entity, operation, field, ...tests }, at) {
  const given = Object.values(tests).filter((test) => test !== undefined).length;
  if (field !== undefined) {
    if (given !== 1) refuse(`${at}: \`field\` needs one of \`equals\`, \`in\`, \`exists\``);
  } else if (given > 0) {
    refuse(`${at}: \`equals\`, \`in\`, \`exists\` need a \`field\``);
  } else if ((eventType ?? entity ?? operation) === undefined) {
    refuse(`${at}: an empty condition would hold for every event`);
  }
}

/** @type {(condition: Condition, event: import("relay-guest").Event) => boolean} */
export function holds(condition, event) {
  const { "event-type": eventType, entity, operation } = condition;
  // The payload is read last, and only if the rest holds.
  return (
    (eventType?.includes(event.eventType) ?? true) &&
    (entity?.includes(event.entity) ?? true) &&
    (operation?.includes(event.operation) ?? true) &&
    fieldHolds(condition, event)
  );
}

/** @type {(condition: Condition, event: import("relay-guest").Event) => boolean} */
function fieldHolds({ field, equals, in: oneOf = [], exists }, event) {
  if (field === undefined) return true;
  const wanted = equals === undefined ? oneOf : [equals];
  let found = false;
  let met = false;
  const payload = event.jsonText();
  if (payload !== undefined) {
    field.visit(payload, (text) => {
      found = true;
      met ||= wanted.length > 0 && equalsAny(wanted, text);
    });
  }
  return exists === undefined ? met : exists === found;
}

/**
 * What a condition compares with. How a number is written tells whether it is an integer.
 * @type {(text: string) => JsonValue}
 */
function comparable(text) {
  const value = parseJson(text, { numbers: "text" });
  if (value instanceof JsonNumber && !Number.isFinite(Number(value))) throw new Error("number out of range");
  return value;
}

/** @type {(wanted: JsonValue[], text: string) => boolean} */
function equalsAny(wanted, text) {
  let value;
  try {
    value = parseJson(text, { numbers: "text" });
  } catch {
    // Nested too deep to be anything that a setting says.
    return false;
  }
  return wanted.some((wanted) => equal(wanted, value));
}

/**
 * As JSON readers compare: members in any order, 1.0 is 1.
 * @type {(a: JsonValue | undefined, b: JsonValue | undefined) => boolean}
 */
function equal(a, b) {
  if (a === b) return true;
  if (a instanceof JsonNumber || b instanceof JsonNumber) {
    return a instanceof JsonNumber && b instanceof JsonNumber && equalNumbers(a, b);
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((value, index) => equal(value, b[index]));
  }
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => name in b && equal(a[name], b[name]));
}

/**
 * Numbers that are no integers of 64 bits are compared as doubles.
 * @type {(a: JsonNumber, b: JsonNumber) => boolean}
 */
function equalNumbers(a, b) {
  const [x, y] = [integer(a.text), integer(b.text)];
  return x !== undefined && y !== undefined ? x === y : Number(a) === Number(b);
}

/** @type {(text: string) => bigint | undefined} */
function integer(text) {
  if (!/^-?[0-9]{1,20}$/.test(text)) return undefined;
  const value = BigInt(text);
  return value >= -(2n ** 63n) && value < 2n ** 64n ? value : undefined;
}
