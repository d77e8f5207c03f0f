// Masks, removes and renames fields of a JSON payload, as transforms/rust/redact does.
//
// The payload is read once and written once; all that is not named is copied
// by its text, so digits, escapes, order and white space stay.

import { Failure, JsonCursor, TextEdits, emit, pass, refuse, setting, transform } from "relay-guest";
import { Node } from "./tree.ts";

interface Redact {
  root: Node;
  /** JSON text put in place of a field; `undefined` removes it. */
  replace: string | undefined;
}

export default transform({
  settings: {
    fields: setting.list(setting.path(), []),
    replace: setting.jsonText().optional(),
    remove: setting.boolean(false),
    rename: setting.map(setting.string(), {}),
  },

  create({ fields, replace, remove, rename }): Redact {
    if (fields.length === 0 && rename.size === 0) refuse("`fields` or `rename` must name at least one path");
    if (remove && replace !== undefined) refuse("`replace` has no use with `remove`: give one of them");
    const root = new Node();
    for (const path of fields) root.add(path.steps).hit = true;
    // Sorted, so that of several mistakes the same one is told each time.
    for (const [path, name] of [...rename].sort()) {
      try {
        root.setRename(path, name, remove);
      } catch (error) {
        refuse(`rename.${path}: ${(error as Error).message}`);
      }
    }
    return { root, replace: remove ? undefined : (replace ?? '"***"') };
  },

  unused: ["before", "headers"],

  apply(event, { root, replace }) {
    const text = event.jsonText();
    if (text === undefined) return pass();
    const edits = new TextEdits(text);
    walk(root, replace, new JsonCursor(text), edits);
    return edits.changed ? emit({ payload: edits.finish() }) : pass();
  },
});

function walk(node: Node, replace: string | undefined, cursor: JsonCursor, edits: TextEdits): void {
  const kind = cursor.kind();
  if (kind === "object" && node.names.length > 0) {
    object(node, replace, cursor, edits);
  } else if (kind === "array" && node.each !== undefined) {
    array(node.each, replace, cursor, edits);
  } else {
    cursor.skip();
  }
}

function object(node: Node, replace: string | undefined, cursor: JsonCursor, edits: TextEdits): void {
  const commas = replace === undefined ? edits.commas() : undefined;
  // New names given, and names in the object that a key could collide with.
  const given: string[] = [];
  const taken: string[] = [];
  for (let more = cursor.firstMember(); more; more = cursor.nextMember()) {
    const child = node.members[cursor.nameIn(node.names)];
    const { keyStart, keyEnd } = cursor;
    if (child?.hit && replace === undefined) {
      cursor.skip();
      commas?.removed(keyStart, cursor.at);
      continue;
    }
    commas?.keep(keyStart);
    if (child?.rename !== undefined) {
      given.push(child.rename);
      if (!cursor.nameIs(child.rename)) edits.replace(keyStart, keyEnd, JSON.stringify(child.rename));
    } else if (node.renames.length > 0) {
      const name = node.renames[cursor.nameIn(node.renames)];
      if (name !== undefined) taken.push(name);
    }
    if (child === undefined) cursor.skip();
    else if (child.hit) mask(replace, cursor, edits);
    else walk(child, replace, cursor, edits);
    commas?.kept(cursor.at);
  }
  commas?.close();
  const twice = taken.find((name) => given.includes(name));
  if (twice !== undefined) {
    throw Failure.poison("name-taken", `cannot rename a key to \`${twice}\`: the object has one of that name`);
  }
}

function array(each: Node, replace: string | undefined, cursor: JsonCursor, edits: TextEdits): void {
  const commas = edits.commas();
  for (let more = cursor.firstElement(); more; more = cursor.nextElement()) {
    if (!each.hit) {
      walk(each, replace, cursor, edits);
    } else if (replace !== undefined) {
      mask(replace, cursor, edits);
    } else {
      cursor.skip();
      commas.removed(cursor.start, cursor.at);
    }
  }
  commas.close();
}

function mask(replace: string | undefined, cursor: JsonCursor, edits: TextEdits): void {
  cursor.skip();
  const same = replace?.length === cursor.at - cursor.start && cursor.text.startsWith(replace, cursor.start);
  if (replace !== undefined && !same) edits.replace(cursor.start, cursor.at, replace);
}
