// Keeps or drops events by conditions; settings and behaviour are those of
// ../../rust/filter/README.md.
#include "relay.h"

#include <math.h>
#include <stdlib.h>

typedef struct names {
  bool given;
  relay_str *list;
  size_t count;
} names;

/// A JSON value to compare with.
typedef struct json {
  /// Of a member of an object.
  relay_str name;
  /// The first byte of the JSON text tells the type.
  char type;
  /// The value of a string; the text of all else.
  relay_str text;
  struct json *children;
  size_t count;
} json;

/// Holds when every part that is given holds.
typedef struct condition {
  names event_type, entity, operation;
  /// A value in the payload, with `wanted` or `exists`; without steps: any
  /// event will do.
  relay_path field;
  json *wanted;
  size_t wanted_count;
  enum { NOT_ASKED, MUST_EXIST, MUST_NOT_EXIST } exists;
} condition;

typedef struct conditions {
  condition *list;
  size_t count;
} conditions;

typedef struct filter {
  conditions keep, drop;
  /// What a payload that is not JSON means: not poison, but halt.
  bool halts;
} filter;

// --- Settings ---------------------------------------------------------------

static names read_names(relay_setting *setting) {
  names names = {.given = setting != NULL};
  relay_setting *each = relay_elements(setting, &names.count);
  names.list = relay_keep(names.count, sizeof *names.list);
  for (relay_str *name = names.list; each != NULL; each = relay_next(each)) *name++ = relay_text(each);
  return names;
}

static names read_operations(relay_setting *setting) {
  names names = read_names(setting);
  relay_setting *each = relay_elements(setting, NULL);
  for (size_t i = 0; i < names.count; i++, each = relay_next(each)) {
    bool known = false;
    for (int o = RELAY_INSERT; o <= RELAY_MESSAGE; o++) known |= relay_is(names.list[i], relay_operation_name(o));
    if (!known)
      relay_refuse(each, "`%.*s` is none of `insert`, `update`, `delete`, `truncate`, `snapshot`, `message`",
                   RELAY_ARG(names.list[i]));
  }
  return names;
}

static json read_json(relay_setting *setting) {
  relay_str text = relay_raw(setting), decoded = relay_json_decode(text);
  json json = {.name = relay_keep_str(relay_name(setting)), .type = text.ptr[0]};
  json.text = decoded.ptr == NULL ? text : relay_keep_str(decoded);
  relay_setting *each = NULL;
  if (json.type == '{') each = relay_members(setting, &json.count);
  if (json.type == '[') each = relay_elements(setting, &json.count);
  json.children = relay_keep(json.count, sizeof json);
  for (size_t i = 0; i < json.count; i++, each = relay_next(each)) json.children[i] = read_json(each);
  return json;
}

static condition read_condition(relay_setting *setting) {
  condition c = {0};
  c.event_type = read_names(relay_get_option(setting, "event-type"));
  c.entity = read_names(relay_get_option(setting, "entity"));
  c.operation = read_operations(relay_get_option(setting, "operation"));
  relay_setting *field = relay_get_option(setting, "field");
  relay_setting *equals = relay_get(setting, "equals");
  relay_setting *in = relay_get_option(setting, "in");
  relay_setting *exists = relay_get_option(setting, "exists");

  c.field = relay_path_of(field);
  if (exists != NULL) c.exists = relay_bool(exists) ? MUST_EXIST : MUST_NOT_EXIST;
  relay_setting *each = relay_elements(in, &c.wanted_count);
  if (equals != NULL) c.wanted_count = 1;
  c.wanted = relay_keep(c.wanted_count, sizeof *c.wanted);
  if (equals != NULL) c.wanted[0] = read_json(equals);
  else
    for (json *wanted = c.wanted; each != NULL; each = relay_next(each)) *wanted++ = read_json(each);

  int tests = (equals != NULL) + (in != NULL) + (exists != NULL);
  if (field != NULL && tests != 1) relay_refuse(setting, "`field` needs one of `equals`, `in`, `exists`");
  else if (field == NULL && tests > 0) relay_refuse(setting, "`equals`, `in`, `exists` need a `field`");
  else if (field == NULL && !c.event_type.given && !c.entity.given && !c.operation.given)
    relay_refuse(setting, "an empty condition would hold for every event");
  return c;
}

static conditions read_conditions(relay_setting *setting) {
  conditions conditions = {0};
  relay_setting *each = relay_elements(setting, &conditions.count);
  conditions.list = relay_keep(conditions.count, sizeof *conditions.list);
  for (condition *c = conditions.list; each != NULL; each = relay_next(each)) *c++ = read_condition(each);
  return conditions;
}

static bool read_invalid(relay_setting *setting) {
  relay_str kind = relay_text_or(setting, "poison");
  if (!relay_is(kind, "poison") && !relay_is(kind, "halt"))
    relay_refuse(setting, "`%.*s` is neither `poison` nor `halt`", RELAY_ARG(kind));
  return relay_is(kind, "halt");
}

static void *create(relay_setting *settings) {
  filter *self = relay_keep(1, sizeof *self);
  self->keep = read_conditions(relay_get(settings, "keep"));
  self->drop = read_conditions(relay_get(settings, "drop"));
  self->halts = read_invalid(relay_get(settings, "invalid"));
  if (self->keep.count == 0 && self->drop.count == 0)
    relay_refuse(settings, "`keep` or `drop` must have at least one condition");
  return self;
}

// --- Comparing --------------------------------------------------------------

/// A number as JSON readers have it: an integer of 64 bits, or a double.
typedef struct number {
  bool integer, negative;
  uint64_t magnitude;
  double real;
} number;

static number number_of(relay_str text) {
  number n = {.integer = memchr(text.ptr, '.', text.len) == NULL && memchr(text.ptr, 'e', text.len) == NULL &&
                         memchr(text.ptr, 'E', text.len) == NULL,
              .negative = text.ptr[0] == '-'};
  for (size_t i = n.negative; n.integer && i < text.len; i++)
    if (__builtin_mul_overflow(n.magnitude, 10, &n.magnitude) ||
        __builtin_add_overflow(n.magnitude, (uint64_t)(text.ptr[i] - '0'), &n.magnitude))
      n.integer = false;
  if (n.negative && n.magnitude > (uint64_t)INT64_MAX + 1) n.integer = false;
  if (n.magnitude == 0) n.negative = false;
  n.real = strtod(relay_format("%.*s", RELAY_ARG(text)).ptr, NULL);
  return n;
}

static bool equal_numbers(relay_str a, relay_str b) {
  number x = number_of(a), y = number_of(b);
  if (x.integer && y.integer) return x.negative == y.negative && x.magnitude == y.magnitude;
  // A number out of range equals nothing.
  return isfinite(x.real) && x.real == y.real;
}

static bool equal(const json *wanted, relay_str text);

/// Members in any order; of a repeated key the last value counts.
static bool equal_objects(const json *wanted, relay_str text) {
  relay_str *found = relay_alloc(wanted->count, sizeof *found);
  relay_json reader = relay_json_part(text);
  relay_key key;
  relay_json_object(&reader);
  while (relay_json_member(&reader, &key)) {
    size_t i = 0;
    while (i < wanted->count && !relay_equal(wanted->children[i].name, key.name)) i++;
    if (i == wanted->count) return false;
    relay_json_value(&reader, &found[i]);
  }
  for (size_t i = 0; i < wanted->count; i++)
    if (found[i].ptr == NULL || !equal(&wanted->children[i], found[i])) return false;
  return true;
}

static bool equal_arrays(const json *wanted, relay_str text) {
  relay_json reader = relay_json_part(text);
  relay_str value;
  size_t i = 0;
  relay_json_array(&reader);
  for (; relay_json_element(&reader); i++) {
    relay_json_value(&reader, &value);
    if (i == wanted->count || !equal(&wanted->children[i], value)) return false;
  }
  return i == wanted->count;
}

/// As JSON readers compare: members in any order, 1.0 is 1.
static bool equal(const json *wanted, relay_str text) {
  bool numbers = strchr("-0123456789", wanted->type) != NULL;
  if (numbers) return strchr("-0123456789", text.ptr[0]) != NULL && equal_numbers(wanted->text, text);
  if (wanted->type != text.ptr[0]) return false;
  switch (wanted->type) {
    case '{':
      return equal_objects(wanted, text);
    case '[':
      return equal_arrays(wanted, text);
    case '"':
      // A string without UTF-8 form is none, and equals nothing.
      return relay_equal(wanted->text, relay_json_decode(text));
    default:
      return true;
  }
}

// --- Events -----------------------------------------------------------------

static bool has(const names *names, relay_str name) {
  for (size_t i = 0; i < names->count; i++)
    if (relay_equal(names->list[i], name)) return true;
  return !names->given;
}

/// What a look into the payload found.
typedef struct look {
  const condition *condition;
  bool found, met;
} look;

static void look_at(void *context, relay_str value) {
  look *look = context;
  look->found = true;
  for (size_t i = 0; i < look->condition->wanted_count && !look->met; i++)
    look->met = equal(&look->condition->wanted[i], value);
}

static bool holds(const condition *c, const relay_event *event, bool *held, relay_outcome *failed) {
  *held = has(&c->event_type, event->event_type) && has(&c->entity, event->entity) &&
          has(&c->operation, relay_str_of(relay_operation_name(event->operation)));
  // The payload is read last, and only if the rest holds.
  if (!*held || c->field.count == 0) return true;
  look look = {.condition = c};
  if (event->payload.ptr != NULL && !relay_visit(&c->field, event->payload, look_at, &look, failed)) return false;
  *held = c->exists == NOT_ASKED ? look.met : look.found == (c->exists == MUST_EXIST);
  return true;
}

static bool any(const filter *self, const conditions *conditions, const relay_event *event, bool *held,
                relay_outcome *failed) {
  *held = false;
  for (size_t i = 0; i < conditions->count && !*held; i++)
    if (!holds(&conditions->list[i], event, held, failed)) {
      // The one failure of a condition is a payload that is not JSON.
      failed->halt = self->halts;
      return false;
    }
  return true;
}

static relay_outcome apply(void *context, const relay_event *event) {
  const filter *self = context;
  relay_outcome failed;
  bool held;
  if (self->keep.count > 0) {
    if (!any(self, &self->keep, event, &held, &failed)) return failed;
    if (!held) return relay_drop("not-kept");
  }
  if (!any(self, &self->drop, event, &held, &failed)) return failed;
  return relay_drop_if(held, "dropped");
}

static bool reads_payload(const conditions *conditions) {
  for (size_t i = 0; i < conditions->count; i++)
    if (conditions->list[i].field.count > 0) return true;
  return false;
}

static unsigned unused(const void *context) {
  const filter *self = context;
  bool payload = reads_payload(&self->keep) || reads_payload(&self->drop);
  return RELAY_UNUSED_BEFORE | RELAY_UNUSED_HEADERS | (payload ? 0 : RELAY_UNUSED_PAYLOAD);
}

const relay_transform relay_exported = {.create = create, .apply = apply, .unused = unused};
