// Chooses a topic by event type, entity, header or payload field, as transforms/rust/route does.

import { Failure, JsonPath, decodeString, pass, refuse, route, setting, transform } from "relay-guest";

/** Where in a template the value goes. */
const VALUE = "{value}";

/** @typedef {"event-type" | "entity" | { header: string } | { field: JsonPath }} By What the value is that picks the topic. */

/** @type {(text: string) => By} */
function by(text) {
  if (text === "event-type" || text === "entity") return text;
  if (text.startsWith("header:") && text !== "header:") return { header: text.slice("header:".length) };
  if (text.startsWith("field:")) {
    const field = JsonPath.parse(text.slice("field:".length));
    if (field.isPlural) throw new Error(`\`${text.slice("field:".length)}\`: a topic needs one value, \`[]\` gives several`);
    return { field };
  }
  throw new Error(`\`${text}\` is none of \`event-type\`, \`entity\`, \`header:<name>\`, \`field:<path>\``);
}

export default transform({
  settings: {
    by: setting.string().as(by),
    routes: setting.map(setting.string(), {}),
    template: setting.string().optional(),
    default: setting.string().optional(),
  },

  create(settings) {
    const { routes, template, default: other } = settings;
    if (template !== undefined && !template.includes(VALUE)) {
      refuse(`\`template\` has no \`${VALUE}\`: use \`default\` for a fixed topic`);
    }
    if (routes.size === 0 && template === undefined && other === undefined) {
      refuse("one of `routes`, `template`, `default` is needed");
    }
    const wrong = [...routes.values(), other ?? "any"].filter((topic) => !isTopic(topic)).sort()[0];
    if (wrong !== undefined) refuse(`\`${wrong}\` is not a name that Kafka allows for a topic`);
    return settings;
  },

  unused({ by }) {
    if (typeof by === "string") return ["payload", "before", "headers"];
    return "header" in by ? ["payload", "before"] : ["before", "headers"];
  },

  apply(event, settings) {
    const topic = choose(value(event, settings.by), settings);
    return topic === undefined || topic === event.topic ? pass() : route(topic);
  },
});

/** @type {(event: import("relay-guest").Event, by: By) => string | undefined} */
function value(event, by) {
  if (by === "event-type") return event.eventType;
  if (by === "entity") return event.entity;
  if ("header" in by) return event.headerText(by.header);
  const payload = event.jsonText();
  return payload && scalar(by.field.find(payload));
}

/**
 * @param {string | undefined} value
 * @param {{ routes: Map<string, string>, template?: string, default?: string }} settings
 */
function choose(value, { routes, template, default: other }) {
  if (value === undefined) return other;
  const known = routes.get(value);
  if (known !== undefined) return known;
  if (template === undefined) return other;
  const topic = template.replaceAll(VALUE, () => value);
  if (isTopic(topic)) return topic;
  throw Failure.poison("invalid-topic", `\`${topic}\` is not a name that Kafka allows for a topic`);
}

/**
 * A string's value, or the text of a number or boolean. Null, objects and
 * arrays name no topic.
 * @type {(text: string | undefined) => string | undefined}
 */
function scalar(text) {
  if (text === undefined || /^[{[n]/.test(text)) return undefined;
  return text.startsWith('"') ? decodeString(text) : text;
}

/** @type {(name: string) => boolean} */
function isTopic(name) {
  return /^[A-Za-z0-9._-]{1,249}$/.test(name) && name !== "." && name !== "..";
}
