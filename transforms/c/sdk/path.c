// Paths, and the values they mean.
#include "internal.h"

relay_path relay_path_name(relay_str name) {
  relay_str *step = relay_keep(1, sizeof *step);
  *step = relay_keep_str(name);
  return (relay_path){step, 1};
}

static bool no_path(const char **why, const char *what) {
  *why = what;
  return false;
}

bool relay_path_parse(relay_str text, relay_path *path, const char **why) {
  static const char empty_name[] = "a path has no empty name: write it like `customer.email`";
  static const char bracket[] = "`[` must be followed by `]`, and that by `.`, `[]` or the end";
  static const char escape[] = "`\\` must be followed by a character";
  // There is at most one step for each byte.
  relay_str *steps = relay_keep(text.len, sizeof *steps);
  size_t count = 0;
  // Whether a name may, or must, come next.
  bool allowed = true, required = true;
  for (size_t i = 0; i < text.len;) {
    char c = text.ptr[i];
    if (c == '[') {
      bool name_wanted = required && count > 0;
      if (i + 1 >= text.len || text.ptr[i + 1] != ']' || name_wanted) return no_path(why, bracket);
      steps[count++] = (relay_str){0};
      i += 2;
      allowed = required = false;
    } else if (c == '.') {
      if (required) return no_path(why, empty_name);
      i++;
      allowed = required = true;
    } else {
      if (!allowed) return no_path(why, bracket);
      char *name = relay_keep(text.len - i, 1);
      size_t len = 0;
      while (i < text.len && (len == 0 || (text.ptr[i] != '.' && text.ptr[i] != '['))) {
        if (text.ptr[i] == '\\' && ++i == text.len) return no_path(why, escape);
        name[len++] = text.ptr[i++];
        // The rest of a character that has several bytes belongs to it.
        while (i < text.len && (text.ptr[i] & 0xc0) == 0x80) name[len++] = text.ptr[i++];
      }
      steps[count++] = (relay_str){name, len};
      allowed = required = false;
    }
  }
  if (required) return no_path(why, empty_name);
  *path = (relay_path){steps, count};
  return true;
}

bool relay_path_is_plural(const relay_path *path) {
  for (size_t i = 0; i < path->count; i++)
    if (path->steps[i].ptr == NULL) return true;
  return false;
}

static bool visit(relay_path path, relay_json *json, void (*each)(void *, relay_str), void *context) {
  relay_str value;
  if (path.count == 0) {
    if (relay_json_value(json, &value)) each(context, value);
    return relay_json_end(json);
  }
  relay_str step = path.steps[0];
  relay_path rest = {path.steps + 1, path.count - 1};
  relay_kind kind = relay_json_kind(json);
  if (step.ptr != NULL && kind == RELAY_OBJECT) {
    relay_str last = {0};
    relay_key key;
    relay_json_object(json);
    while (relay_json_member(json, &key))
      if (relay_json_value(json, &value) && relay_equal(key.name, step)) last = value;
    if (!relay_json_end(json)) return false;
    if (last.ptr == NULL) return true;
    relay_json inner = relay_json_part(last);
    return visit(rest, &inner, each, context);
  }
  if (step.ptr == NULL && kind == RELAY_ARRAY) {
    relay_json_array(json);
    while (relay_json_element(json)) {
      if (!relay_json_value(json, &value)) return false;
      relay_json inner = relay_json_part(value);
      // What was read as a value has no error.
      visit(rest, &inner, each, context);
    }
  } else {
    relay_json_value(json, &value);
  }
  return relay_json_end(json);
}

bool relay_visit(const relay_path *path, relay_str text, void (*each)(void *, relay_str), void *context,
                 relay_outcome *failed) {
  relay_json json = relay_json_open(text);
  if (json.expected == NULL && visit(*path, &json, each, context)) return true;
  *failed = relay_invalid_json(&json);
  return false;
}

static void keep_last(void *context, relay_str value) { *(relay_str *)context = value; }

bool relay_find(const relay_path *path, relay_str text, relay_str *found, relay_outcome *failed) {
  *found = (relay_str){0};
  return relay_visit(path, text, keep_last, found, failed);
}

relay_str relay_field(const relay_event *event, const relay_path *path) {
  relay_str found = {0};
  relay_outcome failed;
  if (event->payload.ptr == NULL || !relay_find(path, event->payload, &found, &failed)) return (relay_str){0};
  return found;
}
