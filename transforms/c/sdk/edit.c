// Edits of a JSON text that leave every other byte.
#include "internal.h"

relay_edits relay_edits_of(relay_str text) { return (relay_edits){.text = text}; }

void relay_edit(relay_edits *edits, size_t start, size_t end, relay_str with) {
  if (edits->copied == 0) relay_buf_reserve(&edits->out, edits->text.len + 64);
  relay_buf_add(&edits->out, (relay_str){edits->text.ptr + edits->copied, start - edits->copied});
  relay_buf_add(&edits->out, with);
  edits->copied = end;
}

relay_str relay_edits_finish(relay_edits *edits) {
  // Every edit ends behind byte 0, so this means that there was none.
  if (edits->copied == 0) return (relay_str){0};
  relay_buf_add(&edits->out, (relay_str){edits->text.ptr + edits->copied, edits->text.len - edits->copied});
  edits->copied = edits->text.len;
  return relay_buf_str(&edits->out);
}

typedef struct mapping {
  relay_str (*map)(void *context, relay_str value);
  void *context;
  relay_edits edits;
} mapping;

static void map_walk(mapping *mapping, relay_path path, relay_json *json) {
  relay_str value, with;
  if (path.count == 0) {
    if (!relay_json_value(json, &value)) return;
    with = mapping->map(mapping->context, value);
    if (with.ptr != NULL && !relay_equal(with, value)) relay_edit(&mapping->edits, json->at - value.len, json->at, with);
    return;
  }
  relay_str step = path.steps[0];
  relay_path rest = {path.steps + 1, path.count - 1};
  relay_kind kind = relay_json_kind(json);
  if (step.ptr != NULL && kind == RELAY_OBJECT) {
    relay_key key;
    relay_json_object(json);
    while (relay_json_member(json, &key)) {
      if (relay_equal(key.name, step)) map_walk(mapping, rest, json);
      else relay_json_value(json, NULL);
    }
  } else if (step.ptr == NULL && kind == RELAY_ARRAY) {
    relay_json_array(json);
    while (relay_json_element(json)) map_walk(mapping, rest, json);
  } else {
    relay_json_value(json, NULL);
  }
}

relay_outcome relay_map_json(const relay_event *event, const relay_path *path,
                             relay_str (*map)(void *context, relay_str value), void *context) {
  if (event->payload.ptr == NULL) return relay_pass();
  relay_json json = relay_json_open(event->payload);
  mapping mapping = {map, context, relay_edits_of(event->payload)};
  if (json.expected == NULL) map_walk(&mapping, *path, &json);
  if (!relay_json_end(&json)) return relay_invalid_json(&json);
  relay_str text = relay_edits_finish(&mapping.edits);
  return text.ptr == NULL ? relay_pass() : relay_emit_payload(text);
}

static relay_str constant(void *context, relay_str value) {
  (void)value;
  return relay_str_of(context);
}

relay_outcome relay_mask(const relay_event *event, const relay_path *path, const char *json) {
  return relay_map_json(event, path, constant, (void *)(uintptr_t)json);
}
