// Chooses a topic by event type, entity, header or payload field; settings and
// behaviour are those of ../../rust/route/README.md.
#include "relay.h"

#include <stdlib.h>

typedef struct entry {
  relay_str value, topic;
} entry;

typedef struct route {
  enum { BY_EVENT_TYPE, BY_ENTITY, BY_HEADER, BY_FIELD } by;
  relay_str header;
  relay_path field;
  /// Sorted by value.
  entry *routes;
  size_t count;
  relay_str template, otherwise;
} route;

// --- Settings ---------------------------------------------------------------

/// Where in a template the value goes.
static const char placeholder[] = "{value}";
/// Kafka's own limit on the length of a topic name.
enum { TOPIC_MAX = 249 };

static bool is_topic(relay_str name) {
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-') return false;
  }
  return name.len > 0 && name.len <= TOPIC_MAX && !relay_is(name, ".") && !relay_is(name, "..");
}

/// What comes behind the prefix; none if the text does not begin with it.
static relay_str after(relay_str text, const char *prefix) {
  size_t len = strlen(prefix);
  if (text.len < len || memcmp(text.ptr, prefix, len) != 0) return (relay_str){0};
  return (relay_str){text.ptr + len, text.len - len};
}

static void read_by(route *self, relay_setting *setting) {
  relay_str text = relay_text(setting), header = after(text, "header:"), field = after(text, "field:");
  const char *why;
  if (text.ptr == NULL) return;
  if (relay_is(text, "event-type")) {
    self->by = BY_EVENT_TYPE;
  } else if (relay_is(text, "entity")) {
    self->by = BY_ENTITY;
  } else if (header.len > 0) {
    self->by = BY_HEADER;
    self->header = header;
  } else if (field.ptr == NULL) {
    relay_refuse(setting, "`%.*s` is none of `event-type`, `entity`, `header:<name>`, `field:<path>`", RELAY_ARG(text));
  } else if (!relay_path_parse(field, &self->field, &why)) {
    relay_refuse(setting, "`%.*s`: %s", RELAY_ARG(field), why);
  } else if (relay_path_is_plural(&self->field)) {
    relay_refuse(setting, "`%.*s`: a topic needs one value, `[]` gives several", RELAY_ARG(field));
  } else {
    self->by = BY_FIELD;
  }
}

static const char *find_placeholder(relay_str text) {
  size_t len = sizeof placeholder - 1;
  for (size_t i = 0; i + len <= text.len; i++)
    if (memcmp(text.ptr + i, placeholder, len) == 0) return text.ptr + i;
  return NULL;
}

static void check_topic(relay_setting *setting, relay_str topic) {
  if (topic.ptr != NULL && !is_topic(topic))
    relay_refuse(setting, "`%.*s` is not a name that Kafka allows for a topic", RELAY_ARG(topic));
}

static int by_value(const void *a, const void *b) {
  return relay_compare(((const entry *)a)->value, ((const entry *)b)->value);
}

static void *create(relay_setting *settings) {
  route *self = relay_keep(1, sizeof *self);
  relay_setting *otherwise = relay_get_option(settings, "default");
  relay_setting *routes = relay_get(settings, "routes");
  read_by(self, relay_need(settings, "by"));
  self->template = relay_text(relay_get_option(settings, "template"));
  self->otherwise = relay_text(otherwise);

  relay_setting *each = relay_members(routes, &self->count);
  self->routes = relay_keep(self->count, sizeof *self->routes);
  for (entry *e = self->routes; each != NULL; e++, each = relay_next(each)) {
    *e = (entry){relay_keep_str(relay_name(each)), relay_text(each)};
    check_topic(each, e->topic);
  }
  qsort(self->routes, self->count, sizeof *self->routes, by_value);
  if (self->template.ptr != NULL && find_placeholder(self->template) == NULL)
    relay_refuse(settings, "`template` has no `%s`: use `default` for a fixed topic", placeholder);
  if (self->count == 0 && self->template.ptr == NULL && self->otherwise.ptr == NULL)
    relay_refuse(settings, "one of `routes`, `template`, `default` is needed");
  check_topic(otherwise, self->otherwise);
  return self;
}

// --- Events -----------------------------------------------------------------

/// The value that picks the topic, or none.
static bool value_of(const route *self, const relay_event *event, relay_str *value, relay_outcome *failed) {
  *value = (relay_str){0};
  switch (self->by) {
    case BY_EVENT_TYPE:
      *value = event->event_type;
      break;
    case BY_ENTITY:
      *value = event->entity;
      break;
    case BY_HEADER:
      *value = relay_header_value(event, self->header);
      if (!relay_is_utf8(*value, NULL)) *value = (relay_str){0};
      break;
    case BY_FIELD:
      if (event->payload.ptr == NULL) break;
      if (!relay_find(&self->field, event->payload, value, failed)) return false;
      *value = relay_json_scalar(*value);
  }
  return true;
}

static relay_str filled(relay_str template, relay_str value) {
  relay_buf out = {0};
  for (const char *at; (at = find_placeholder(template)) != NULL;) {
    size_t before = (size_t)(at - template.ptr);
    relay_buf_add(&out, (relay_str){template.ptr, before});
    relay_buf_add(&out, value);
    template.ptr += before + sizeof placeholder - 1;
    template.len -= before + sizeof placeholder - 1;
  }
  relay_buf_add(&out, template);
  return relay_buf_str(&out);
}

static relay_outcome apply(void *context, const relay_event *event) {
  const route *self = context;
  relay_outcome failed;
  relay_str value, topic = self->otherwise;
  if (!value_of(self, event, &value, &failed)) return failed;
  if (value.ptr != NULL) {
    entry wanted = {.value = value};
    const entry *known = self->count == 0 ? NULL : bsearch(&wanted, self->routes, self->count, sizeof wanted, by_value);
    if (known != NULL) {
      topic = known->topic;
    } else if (self->template.ptr != NULL) {
      topic = filled(self->template, value);
      if (!is_topic(topic))
        return relay_poison("invalid-topic", "`%.*s` is not a name that Kafka allows for a topic", RELAY_ARG(topic));
    }
  }
  if (topic.ptr == NULL || relay_equal(topic, event->topic)) return relay_pass();
  return relay_route(topic);
}

static unsigned unused(const void *context) {
  const route *self = context;
  return RELAY_UNUSED_BEFORE | (self->by == BY_FIELD ? 0 : RELAY_UNUSED_PAYLOAD) |
         (self->by == BY_HEADER ? 0 : RELAY_UNUSED_HEADERS);
}

const relay_transform relay_exported = {.create = create, .apply = apply, .unused = unused};
