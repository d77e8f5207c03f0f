// Keeps or drops events by conditions, as transforms/rust/filter does.

import { drop, dropIf, refuse, setting, transform } from "relay-guest";
import { check, condition, holds } from "./condition.js";

export default transform({
  settings: {
    keep: setting.list(setting.object(condition), []),
    drop: setting.list(setting.object(condition), []),
  },

  create({ keep, drop }) {
    if (keep.length + drop.length === 0) refuse("`keep` or `drop` must have at least one condition");
    keep.forEach((condition, index) => check(condition, `keep[${index}]`));
    drop.forEach((condition, index) => check(condition, `drop[${index}]`));
    return { kept: keep, dropped: drop };
  },

  unused({ kept, dropped }) {
    const reads = [...kept, ...dropped].some(({ field }) => field !== undefined);
    return reads ? ["before", "headers"] : ["payload", "before", "headers"];
  },

  apply(event, { kept, dropped }) {
    if (kept.length > 0 && !kept.some((condition) => holds(condition, event))) return drop("not-kept");
    return dropIf(dropped.some((condition) => holds(condition, event)), "dropped");
  },
});
