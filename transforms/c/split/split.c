// Publishes each element of an array in the payload as a message; settings and
// behaviour are those of ../../rust/split/README.md.
#include "relay.h"

#include <stdlib.h>

typedef struct split {
  relay_path path, id_field;
  relay_str event_type, topic;
  /// Values of the payload to put into each element, under their last name.
  relay_path *copy;
  size_t copy_count;
} split;

// --- Settings ---------------------------------------------------------------

static relay_path single(relay_setting *setting) {
  relay_path path = relay_path_of(setting);
  if (relay_path_is_plural(&path)) relay_refuse(setting, "`[]` gives several values, one is needed");
  return path;
}

static relay_str last_name(relay_path path) {
  return path.count == 0 ? (relay_str){0} : path.steps[path.count - 1];
}

static void *create(relay_setting *settings) {
  split *self = relay_keep(1, sizeof *self);
  self->path = single(relay_need(settings, "path"));
  self->id_field = single(relay_get_option(settings, "id-field"));
  self->event_type = relay_text(relay_get_option(settings, "event-type"));
  self->topic = relay_text(relay_get_option(settings, "topic"));
  relay_setting *each = relay_elements(relay_get(settings, "copy"), &self->copy_count);
  self->copy = relay_keep(self->copy_count, sizeof *self->copy);
  for (size_t i = 0; i < self->copy_count; i++, each = relay_next(each)) {
    self->copy[i] = single(each);
    relay_str name = last_name(self->copy[i]);
    for (size_t j = 0; j < i; j++)
      if (name.ptr != NULL && relay_equal(last_name(self->copy[j]), name))
        relay_refuse(each, "another one is named `%.*s`", RELAY_ARG(name));
  }
  return self;
}

// --- Events -----------------------------------------------------------------

/// The element with the copies in front; a member of its own goes before a copy
/// of the same name. False if it is no object.
static bool extended(const split *self, relay_str element, const relay_str *copies, relay_str *extended) {
  *extended = element;
  bool any = false;
  for (size_t i = 0; i < self->copy_count; i++) any |= copies[i].ptr != NULL;
  if (!any) return true;
  relay_json json = relay_json_part(element);
  if (relay_json_kind(&json) != RELAY_OBJECT) return false;
  bool *own = relay_alloc(self->copy_count, sizeof *own), members = false;
  relay_key key;
  relay_json_object(&json);
  while (relay_json_member(&json, &key)) {
    members = true;
    for (size_t i = 0; i < self->copy_count; i++) own[i] |= relay_equal(last_name(self->copy[i]), key.name);
    relay_json_value(&json, NULL);
  }
  relay_buf out = {0};
  for (size_t i = 0; i < self->copy_count; i++) {
    if (own[i] || copies[i].ptr == NULL) continue;
    relay_buf_add(&out, out.len == 0 ? RELAY_STR("{") : RELAY_STR(","));
    relay_buf_add_json(&out, last_name(self->copy[i]));
    relay_buf_add(&out, RELAY_STR(":"));
    relay_buf_add(&out, copies[i]);
  }
  if (out.len == 0) return true;
  if (members) relay_buf_add(&out, RELAY_STR(","));
  relay_buf_add(&out, (relay_str){element.ptr + 1, element.len - 1});
  *extended = relay_buf_str(&out);
  return true;
}

static int compare(const void *a, const void *b) { return relay_compare(*(const relay_str *)a, *(const relay_str *)b); }

/// Whether two are the same; they are sorted for that.
static bool repeated(relay_str *ids, size_t count) {
  qsort(ids, count, sizeof *ids, compare);
  for (size_t i = 1; i < count; i++)
    if (relay_equal(ids[i - 1], ids[i])) return true;
  return false;
}

static relay_outcome apply(void *context, const relay_event *event) {
  const split *self = context;
  relay_outcome failed;
  relay_str list, element, found;
  if (event->payload.ptr == NULL) return relay_pass();
  if (!relay_find(&self->path, event->payload, &list, &failed)) return failed;
  if (list.ptr == NULL || relay_is(list, "null")) return relay_drop("empty");
  relay_json json = relay_json_part(list);
  if (relay_json_kind(&json) != RELAY_ARRAY) return relay_poison("not-an-array", "`path` leads to something else");
  relay_str *copies = relay_alloc(self->copy_count, sizeof *copies);
  for (size_t i = 0; i < self->copy_count; i++)
    if (!relay_find(&self->copy[i], event->payload, &copies[i], &failed)) return failed;

  relay_buf messages = {0}, ids = {0};
  size_t count = 0;
  const char *wrong = NULL;
  relay_json_array(&json);
  while (relay_json_element(&json)) {
    relay_message message = {.event_type = self->event_type, .topic = self->topic};
    relay_json_value(&json, &element);
    if (!extended(self, element, copies, &message.payload.bytes)) {
      wrong = "not-an-object";
      break;
    }
    if (self->id_field.count > 0) {
      bool valid = relay_find(&self->id_field, element, &found, &failed);
      relay_str id = valid ? relay_json_scalar(found) : (relay_str){0};
      if (id.ptr == NULL) {
        wrong = "missing-id";
        break;
      }
      relay_buf_add(&ids, (relay_str){(const char *)&id, sizeof id});
      relay_buf full = {0};
      relay_buf_reserve(&full, event->id.len + 1 + id.len);
      relay_buf_add(&full, event->id);
      relay_buf_add(&full, RELAY_STR(":"));
      relay_buf_add(&full, id);
      message.id = relay_buf_str(&full);
    }
    relay_buf_add(&messages, (relay_str){(const char *)&message, sizeof message});
    count++;
  }
  // An element that repeats an id comes before one that is wrong in itself.
  if (repeated((relay_str *)(void *)ids.ptr, ids.len / sizeof(relay_str)))
    return relay_poison("repeated-id", "two elements have the same id");
  if (wrong != NULL && relay_is(relay_str_of(wrong), "missing-id"))
    return relay_poison(wrong, "an element has no string or number at `id-field`");
  if (wrong != NULL) return relay_poison(wrong, "`copy` needs elements that are objects");
  if (count == 0) return relay_drop("empty");
  return relay_emit((const relay_message *)(const void *)messages.ptr, count);
}

static unsigned unused(const void *self) {
  (void)self;
  return RELAY_UNUSED_BEFORE | RELAY_UNUSED_HEADERS;
}

const relay_transform relay_exported = {.create = create, .apply = apply, .unused = unused};
