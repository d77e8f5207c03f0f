export { JsonCursor, checkJson, decodeString } from "./src/cursor.js";
export { TextEdits } from "./src/edits.js";
export { Event } from "./src/event.js";
export { log } from "./src/log.js";
export { Failure, drop, dropIf, emit, pass, route } from "./src/outcome.js";
export { JsonPath } from "./src/path.js";
export { Setting, SettingsError, setting } from "./src/settings.js";
export { refuse, transform } from "./src/transform.js";
export { JsonNumber, mapJson, mapObject, parseJson, writeJson } from "./src/tree.js";
