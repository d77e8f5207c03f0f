/** Changes to a text, made in the order of the text; see index.d.ts. */
export class TextEdits {
  #text;
  /** Start, end and new text of each edit. */
  #edits = [];

  constructor(text) {
    this.#text = text;
  }

  replace(start, end, text) {
    this.#edits.push(start, end, text);
  }

  get changed() {
    return this.#edits.length > 0;
  }

  get count() {
    return this.#edits.length / 3;
  }

  undo(count) {
    this.#edits.length = count * 3;
  }

  finish() {
    const text = this.#text;
    const edits = this.#edits;
    const parts = [];
    let copied = 0;
    for (let index = 0; index < edits.length; index += 3) {
      parts.push(text.slice(copied, edits[index]), edits[index + 2]);
      copied = edits[index + 1];
    }
    parts.push(text.slice(copied));
    return parts.join("");
  }

  commas() {
    return new Commas(this);
  }
}

/** Which commas go with what is removed from one object or array; see index.d.ts. */
class Commas {
  #edits;
  /** The end of the last member once a kept one came before: what is removed then takes the comma in front. */
  #end = -1;
  /** Where removed members begin that no kept one precedes: they take the comma behind. */
  #leading = -1;
  /** The end of the last member, kept or not. */
  #last = -1;

  constructor(edits) {
    this.#edits = edits;
  }

  keep(start) {
    if (this.#leading >= 0) {
      this.#edits.replace(this.#leading, start, "");
      this.#leading = -1;
    }
  }

  kept(end) {
    this.#end = this.#last = end;
  }

  removed(start, end) {
    this.#last = end;
    if (this.#end >= 0) {
      this.#edits.replace(this.#end, end, "");
      this.#end = end;
    } else if (this.#leading < 0) {
      this.#leading = start;
    }
  }

  close() {
    this.keep(this.#last);
  }
}
