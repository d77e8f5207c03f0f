// The paths of the settings as one tree, walked along with the payload.

import { JsonPath } from "relay-guest";

/** What the settings say about one value and what is in it. */
export class Node {
  /** Mask or remove this value; nothing below it is looked at then. */
  hit = false;
  /** A new name for the key that leads here. */
  rename: string | undefined;
  /** What is said of every element of an array. */
  each: Node | undefined;
  /** Names of members of an object, and what is said of each; few as a rule. */
  readonly names: string[] = [];
  readonly members: Node[] = [];
  /** The new names that the members take. */
  readonly renames: string[] = [];

  /** The node at the end of the steps, made where it is missing. */
  add(steps: readonly (string | null)[]): Node {
    const [step, ...rest] = steps;
    if (step === undefined) return this;
    if (step === null) return (this.each ??= new Node()).add(rest);
    let member = this.members[this.names.indexOf(step)];
    if (member === undefined) {
      this.names.push(step);
      this.members.push((member = new Node()));
    }
    return member.add(rest);
  }

  /** Adds one entry of the setting `rename` to the tree. */
  setRename(path: string, name: string, removes: boolean): void {
    const { steps, lastName } = JsonPath.parse(path);
    if (lastName === undefined) throw new Error("only a name can be renamed, not `[]`");
    if (name === "" || /[.[]/.test(name)) throw new Error(`\`${name}\` is not a name: a key stays where it is`);
    const parent = this.add(steps.slice(0, -1));
    if (parent.renames.includes(name)) throw new Error(`another key of the same object becomes \`${name}\``);
    const node = parent.add([lastName]);
    if (node.hit && removes) throw new Error("the field is removed by `fields`");
    node.rename = name;
    parent.renames.push(name);
  }
}
