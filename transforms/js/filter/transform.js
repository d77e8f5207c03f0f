// Keeps or drops events by conditions, as transforms/rust/filter does.

import { Failure, drop, dropIf, refuse, setting, transform } from "relay-guest";
import { check, condition, holds } from "./condition.js";

export default transform({
  settings: {
    keep: setting.list(setting.object(condition), []),
    drop: setting.list(setting.object(condition), []),
    /** What a payload that is not JSON means where a condition has to read it. */
    invalid: setting.string("poison").as((kind) => {
      if (kind !== "poison" && kind !== "halt") throw new Error(`\`${kind}\` is neither \`poison\` nor \`halt\``);
      return kind;
    }),
  },

  create({ keep, drop, invalid }) {
    if (keep.length + drop.length === 0) refuse("`keep` or `drop` must have at least one condition");
    keep.forEach((condition, index) => check(condition, `keep[${index}]`));
    drop.forEach((condition, index) => check(condition, `drop[${index}]`));
    return { kept: keep, dropped: drop, halts: invalid === "halt" };
  },

  unused({ kept, dropped }) {
    const reads = [...kept, ...dropped].some(({ field }) => field !== undefined);
    return reads ? ["before", "headers"] : ["payload", "before", "headers"];
  },

  apply(event, { kept, dropped, halts }) {
    try {
      if (kept.length > 0 && !kept.some((condition) => holds(condition, event))) return drop("not-kept");
      return dropIf(dropped.some((condition) => holds(condition, event)), "dropped");
    } catch (failure) {
      if (halts && failure instanceof Failure && failure.code === "invalid-json") {
        throw Failure.halt(failure.code, failure.detail);
      }
      throw failure;
    }
  },
});
