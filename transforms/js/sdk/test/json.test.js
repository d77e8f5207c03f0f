import assert from "node:assert/strict";
import { test } from "node:test";
import { Event, JsonCursor, JsonNumber, JsonPath, Failure, drop, emit, mapJson, mapObject, parseJson, pass, writeJson } from "../index.js";
import { checkByText } from "../src/cursor.js";

/** A fixed multiplier: the same numbers on every run. */
function random(seed) {
  let state = seed;
  return (below) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
}

/** The same text by way of every method of a cursor. */
function walk(cursor) {
  const kind = cursor.kind();
  if (kind === "scalar") return JSON.parse(cursor.value());
  if (kind === "array") {
    const array = [];
    for (let more = cursor.firstElement(); more; more = cursor.nextElement()) array.push(walk(cursor));
    return array;
  }
  const entries = [];
  for (let more = cursor.firstMember(); more; more = cursor.nextMember()) {
    const { name } = cursor;
    assert.ok(cursor.nameIs(name) && !cursor.nameIs(`${name}x`));
    assert.equal(cursor.nameIn(["?", name]), 1);
    entries.push([name, walk(cursor)]);
  }
  return Object.fromEntries(entries);
}

const SEEDS = [
  String.raw` { "a" : [ 1 , -2.50e+10 , true , false , null , "x\u00e9\n" ] , "b" : { } } `,
  String.raw`[{"k":"v\"\\\/","n":0.10,"deep":[[[[{}]]]],"\"\\":"]}"},"ünï",12345678901234567890.123,"\\",""]`,
];

test("texts are checked and walked as the native parser reads them", () => {
  const alphabet = [..."{}[]\":,\\/ue+-.0129 \n\ttrfalsn\u0001\u0000é"];
  const below = random(7);
  const both = [0, 0];
  for (let round = 0; round < 30_000; round++) {
    const chars = [...SEEDS[round % 2]];
    for (let edits = below(3); edits >= 0; edits--) {
      const at = below(chars.length);
      chars.splice(at, below(2), ...(below(2) ? [alphabet[below(alphabet.length)]] : []));
    }
    const text = chars.join("");
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      assert.throws(() => checkByText(text), { code: "invalid-json" }, text);
      both[0]++;
      continue;
    }
    checkByText(text);
    assert.deepEqual(walk(new JsonCursor(text)), value, text);
    const cursor = new JsonCursor(text);
    assert.equal(cursor.value(), text.trim());
    both[1]++;
  }
  assert.ok(both[0] > 1000 && both[1] > 1000, String(both));
});

test("depth is no limit to a check or a cursor", () => {
  const text = "[".repeat(100_000) + "]".repeat(100_000);
  checkByText(text);
  assert.equal(new JsonCursor(text).value(), text);
  const mixed = `${'{"a":['.repeat(20_000)}${"[],{}, ".repeat(2000)}"]"${"]}".repeat(20_000)}`;
  assert.equal(new JsonCursor(`${mixed},[]`).value(), mixed);
  assert.throws(() => checkByText(text.slice(1)));
  assert.throws(() => checkByText(text.slice(0, -1)));
  assert.throws(() => parseJson(text), { code: "invalid-json" });
});

test("a cursor on what is not JSON throws", () => {
  for (const text of ["", "{", '{"a', '{"a"', '{"a":', "[1", '["a', "]", '{"a":1 "b"']) {
    assert.throws(() => {
      walk(new JsonCursor(text));
    }, text);
  }
});

test("paths are read", () => {
  assert.deepEqual(JsonPath.parse("a[].b").steps, ["a", null, "b"]);
  assert.deepEqual(JsonPath.parse(String.raw`a\.b\[`).steps, ["a.b["]);
  assert.equal(JsonPath.parse("a[]").lastName, undefined);
  for (const wrong of ["", ".", "a.", ".a", "a..b", "a[", "a[0]", "a[]b", "a.[]", "a\\", "[]."]) {
    assert.throws(() => JsonPath.parse(wrong), wrong);
  }
});

test("paths find the text of values", () => {
  const text = ` {"a":{"b": 1.10},"l":[{"b":1},{"b":2},3], "a.b": "dot", "e\\u0061":null} `;
  const find = (path) => JsonPath.parse(path).find(text);
  assert.equal(find("a.b"), "1.10");
  assert.equal(find("a\\.b"), '"dot"');
  assert.equal(find("ea"), "null");
  assert.equal(find("l.b"), undefined);
  const all = [];
  JsonPath.parse("l[].b").visit(text, (value) => all.push(value));
  assert.deepEqual(all, ["1", "2"]);
  assert.equal(JsonPath.parse("a.c").find('{"a":{"b":1},"a":{"c":2}}'), "2");
});

test("numbers that a double cannot hold keep their digits", () => {
  const value = parseJson('[12345678901234567890.10, 1.10, 1e400, 9007199254740993, 100000000000000000000, "1234567890123456789"]');
  assert.deepEqual(value.map(String), ["12345678901234567890.10", "1.1", "1e400", "9007199254740993", "100000000000000000000", "1234567890123456789"]);
  assert.deepEqual(value.map((number) => number instanceof JsonNumber), [true, false, true, true, false, false]);
  assert.equal(writeJson({ a: value[0], b: [value[3]] }), '{"a":12345678901234567890.10,"b":[9007199254740993]}');
  assert.equal(value[3] + 1, 9007199254740993);
});

function edited(payload, edit) {
  const event = Event.of({ payload });
  const outcome = mapJson(event, edit);
  return outcome.tag === "emit" ? outcome.messages[0].payload : (assert.equal(outcome, pass()), payload);
}

test("an edit leaves the text of all else", () => {
  const text = `{ "n" : 12345678901234567890.10 , "m":1.10,"s":"\\u00e9\\/", "x" :\t9 , "l":[ {"a":1.0},2 ]}\n`;
  const replaced = (from, to) => text.replace(from, to);
  assert.equal(edited(text, () => {}), text);
  assert.equal(edited(text, (v) => void (v.x = "***")), replaced("\t9 ", '\t"***" '));
  assert.equal(edited(text, (v) => void (v.l[0].a = 3)), replaced("1.0}", "3}"));
  assert.equal(edited(text, (v) => void delete v.m), replaced(' , "m":1.10', ""));
  assert.equal(edited(text, (v) => void delete v.n), replaced('"n" : 12345678901234567890.10 , ', ""));
  assert.equal(edited(text, (v) => void (v.new = v.n)), replaced("2 ]}", '2 ],"new":12345678901234567890.10}'));
  assert.equal(edited(text, (v) => void v.l.push({})), replaced(",2 ]", ",2,{} ]"));
  assert.equal(edited(text, (v) => void v.l.pop()), replaced(",2 ]", " ]"));
  assert.equal(edited(text, (v) => void (v.l = undefined)), replaced(' , "l":[ {"a":1.0},2 ]', ""));
  assert.equal(edited('{"a": 1,"a": 2,"b":0.50}', (v) => void (v.b = 1)), '{"a":2,"b":1}');
  assert.equal(edited('{"a":[{"x": 1},{"x": 1}],"a":[1]}', (v) => void (v.a[0] = 2)), '{"a":[2]}');
});

test("any edit gives what was asked for", () => {
  const below = random(3);
  const make = (depth) => {
    const kind = below(depth > 2 ? 3 : 5);
    if (kind === 0) return below(100) / 4;
    if (kind === 1) return ["x", "", 'q"\\', "é"][below(4)];
    if (kind === 2) return [null, true, false][below(3)];
    const items = Array.from({ length: below(4) }, () => make(depth + 1));
    return kind === 3 ? items : Object.fromEntries(items.map((item) => ["a1b2".charAt(below(4)), item]));
  };
  for (let round = 0; round < 5000; round++) {
    const before = { r: make(0), s: make(0) };
    const after = { s: below(2) ? before.s : make(0), t: make(1), r: before.r };
    if (Array.isArray(after.r)) after.r = after.r.slice(0, below(4)).concat(below(2) ? [make(1)] : []);
    const result = edited(JSON.stringify(before, null, below(2)), (value) => {
      for (const name in value) delete value[name];
      Object.assign(value, structuredClone(after));
    });
    assert.deepEqual(JSON.parse(result), after);
  }
});

test("objects have no prototype", () => {
  const [value] = parseJson('[{"constructor":{"__proto__":1}}]');
  assert.ok("constructor" in value && "__proto__" in value.constructor && !("toString" in value));
});

test("mapJson and mapObject", () => {
  const apply = (map, fields, edit = () => drop("seen")) => map(Event.of(fields), edit);
  assert.equal(apply(mapJson, {}), pass());
  assert.equal(apply(mapJson, { operation: "delete", payload: "{}" }), pass());
  assert.deepEqual(apply(mapJson, { payload: "[]" }), drop("seen"));
  assert.equal(apply(mapObject, { payload: "[]" }), pass());
  assert.equal(apply(mapObject, { payload: "12345678901234567890.10" }), pass());
  assert.deepEqual(apply(mapObject, { payload: "{}" }, (v) => void (v.a = 1)), emit({ payload: '{"a":1}' }));
  for (const payload of ["{", "", "\ufeff{}", new Uint8Array([0xff]), "[".repeat(128) + "]".repeat(128)]) {
    assert.throws(() => apply(mapJson, { payload }), (error) => error instanceof Failure && error.code === "invalid-json");
  }
});
