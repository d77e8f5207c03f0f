import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import * as guest from "../index.js";
import { Event, Failure, drop, emit, log, pass, refuse, setting, transform } from "../index.js";
import { component } from "../src/component.js";

const RAW = { id: "1", operation: "insert", unchanged: [], headers: [] };

/** What the host sees of a transform, and what it logs. */
function hosted(definition, settings = "") {
  const lines = [];
  const { Transform } = component(transform(definition), (...line) => lines.push(line));
  return { instance: Transform.create(settings), lines };
}

function outcomeOf(apply) {
  return hosted({ apply }).instance.process([RAW])[0];
}

// Only what a component does itself: it takes the clock away.
const { Date: RealDate } = globalThis;
const [now, randomness, writers] = [Date.now, Math.random, { ...console }];
test.afterEach(() => {
  globalThis.Date = RealDate;
  delete RealDate.withoutClock;
  Date.now = now;
  Math.random = randomness;
  Object.assign(console, writers);
});

test("the types name what is exported", async () => {
  const types = await readFile(new URL("../index.d.ts", import.meta.url), "utf8");
  const declared = [...types.matchAll(/^export (?:class|function|const) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual([...new Set(declared)].sort(), Object.keys(guest).sort());
});

test("outcomes reach the host", () => {
  assert.deepEqual(outcomeOf(() => pass()), { tag: "pass" });
  assert.deepEqual(outcomeOf(() => drop()), { tag: "drop", val: undefined });
  assert.deepEqual(outcomeOf(() => Failure.halt("broken", "why")), { tag: "fail", val: { kind: "halt", code: "broken", detail: "why" } });
  const message = { id: "2", topic: undefined, partition: 3, key: null, payload: "é", headers: { append: [{ name: "n" }, { name: "a", value: "v" }] } };
  const { tag, val } = outcomeOf(() => emit(message));
  const bytes = (text) => new TextEncoder().encode(text);
  assert.equal(tag, "emit");
  assert.deepEqual(val, [
    {
      id: "2",
      partition: 3,
      key: { tag: "null" },
      payload: { tag: "bytes", val: bytes("é") },
      headers: { remove: [], append: [{ name: "n", value: undefined }, { name: "a", value: bytes("v") }] },
    },
  ]);
});

test("an exception fails its event only, with message and stack", () => {
  let calls = 0;
  const { instance } = hosted({
    apply() {
      if (++calls === 2) null.field;
      return pass();
    },
  });
  const outcomes = instance.process([RAW, RAW, RAW]);
  assert.deepEqual(outcomes.map(({ tag }) => tag), ["pass", "fail", "pass"]);
  const { kind, code, detail } = outcomes[1].val;
  assert.deepEqual([kind, code], ["poison", "exception"]);
  assert.match(detail, /^TypeError: .*null.*\n.*guest\.test\.js/);
  const thrown = outcomeOf(() => {
    throw { a: 1 };
  });
  assert.equal(thrown.val.detail, 'thrown: {"a":1}');
});

test("a wrong type is told by the field", () => {
  const cases = [
    [() => undefined, /what `apply` returned is undefined; it must be pass\(\)/],
    [async () => pass(), /promise/],
    [() => drop(3), /the reason is 3; it must be a string/],
    [() => emit("x"), /the message is string/],
    [() => emit([{}, null]), /messages\[1\] is null/],
    [() => emit({ event_type: "x" }), /`event_type`, which is no field/],
    [() => emit({ topic: 1 }), /`topic` of the message is 1/],
    [() => emit({ partition: 1.5 }), /`partition` of the message is 1.5; it must be an integer/],
    [() => emit({ payload: { a: 1 } }), /`payload` of the message is object; it must be a string/],
    [() => emit({ headers: [] }), /`headers` of the message is an array/],
    [() => emit({ headers: { add: [] } }), /`add`/],
    [() => emit({ headers: { remove: [1] } }), /`headers.remove\[0\]`/],
    [() => emit({ headers: { append: [{ name: "a", value: 1 }] } }), /value of `headers.append\[0\]` of the message is 1;/],
  ];
  for (const [apply, expected] of cases) {
    const { code, detail } = outcomeOf(apply).val;
    assert.equal(code, "exception");
    assert.match(detail, expected);
  }
});

test("settings are read, and refused by name", () => {
  const settings = {
    name: setting.string("x"),
    list: setting.list(setting.oneOf("a", "b"), []),
    table: setting.list(setting.object({ path: setting.path(), any: setting.json().optional() }), []),
    map: setting.map(setting.number(), {}),
    maybe: setting.boolean().optional(),
    text: setting.jsonText().optional(),
    json: setting.json().optional(),
  };
  let seen;
  const made = transform({ settings, create: (settings) => (seen = settings), apply: () => pass() });
  made.create();
  assert.deepEqual(seen, { name: "x", list: [], table: [], map: new Map(), maybe: undefined, text: undefined, json: undefined });
  made.create('{"table":[{"path":"a.b","any":null}],"map":{"k":1.0},"maybe":null,"text":[1.0,null],"json":[1.0]}');
  assert.equal(seen.table[0].any, null);
  assert.deepEqual([seen.map.get("k"), seen.maybe, seen.text, seen.json], [1, undefined, "[1.0,null]", [1]]);
  const upper = transform({ settings: { name: setting.string("x").as((name) => name.toUpperCase()) }, create: (settings) => (seen = settings), apply: () => pass() });
  upper.create();
  assert.equal(seen.name, "X");
  const refusals = {
    '{"nam":1}': "settings: nam: unknown field `nam`, expected one of `name`",
    '{"name":1}': "settings: name: invalid type: `1`, expected a string",
    '{"list":["a","c"]}': "settings: list[1]: unknown variant `c`, expected one of `a`, `b`",
    '{"table":[{}]}': "settings: table[0]: missing field `path`",
    '{"table":[{"path":"a["}]}': "settings: table[0].path: `a[`: ",
    '{"table":[{"path":"a","x":1}]}': "settings: table[0].x: unknown field `x`",
    '{"map":{"k":"v"}}': "settings: map.k: ",
    "[]": "settings: not an object",
    "{": "settings: not JSON",
  };
  for (const [text, expected] of Object.entries(refusals)) {
    assert.throws(() => made.create(text), (error) => error.name === "SettingsError" && error.message.startsWith(expected), text);
  }
});

test("what is refused reaches the host as a string", () => {
  const create = (create) => () => hosted({ create, apply: () => pass() });
  assert.throws(create(() => refuse("`a` is needed")), (error) => error === "`a` is needed");
  assert.throws(create(() => null.field), (error) => /^TypeError: .*\n.*guest\.test\.js/.test(error));
  assert.throws(() => component({}, () => {}), /export default transform/);
  assert.throws(() => transform({ aply() {} }), /`aply`/);
});

test("what is unused is told", () => {
  assert.deepEqual(hosted({ unused: ["before"], apply: () => pass() }).instance.unused(), { payload: false, before: true, headers: false });
  const unused = (state) => (state.all ? ["payload"] : []);
  assert.equal(hosted({ create: () => ({ all: true }), unused, apply: () => pass() }).instance.unused().payload, true);
  assert.throws(() => hosted({ unused: ["body"], apply: () => pass() }), (error) => /"body" is none of/.test(error));
});

test("lines are logged with their event", () => {
  const { instance, lines } = hosted({
    apply() {
      log.warn("odd", { a: 1 });
      console.log("line");
      return pass();
    },
  });
  instance.process([RAW, RAW]);
  assert.deepEqual(lines, [["warn", 'odd {"a":1}', 0], ["info", "line", 0], ["warn", 'odd {"a":1}', 1], ["info", "line", 1]]);
});

test("there is no clock and no randomness", () => {
  for (const apply of [() => Date.now(), () => new Date(), () => Math.random()]) {
    assert.match(outcomeOf(apply).val.detail, /a transform has no (clock|randomness): /);
  }
  const made = outcomeOf(() => drop(new Date(0).toISOString()));
  assert.equal(made.val, "1970-01-01T00:00:00.000Z");
});

test("events", () => {
  const event = Event.of({ time: 1_500_000n, key: "k", headers: [{ name: "a", value: "1" }, { name: "a", value: "2" }, { name: "a" }, { name: "b", value: new Uint8Array([0xff]) }] });
  assert.deepEqual([event.keyText, event.headerText("a"), event.headerText("b"), event.header("c")], ["k", "2", undefined, undefined]);
  assert.equal(event.date.getTime(), 1500);
  assert.equal(event.text(), undefined);
  assert.throws(() => event.json(), { code: "no-payload" });
});
