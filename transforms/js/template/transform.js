import { drop, mapObject, setting, transform } from "relay-guest";

export default transform({
  settings: { mask: setting.string("email") },
  unused: ["before", "headers"],

  apply(event, { mask }) {
    return mapObject(event, (row) => {
      if (row.test === true) return drop("test");
      if (mask in row) row[mask] = "***";
    });
  },
});
