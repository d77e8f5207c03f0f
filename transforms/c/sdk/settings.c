// Settings: a small tree that remembers which of its members were asked for.
#include "internal.h"

typedef struct root {
  relay_str error;
} root;

struct relay_setting {
  root *root;
  relay_setting *parent, *first, *last, *next;
  /// Of a member of an object.
  relay_str name;
  /// The JSON text, without white space around it.
  relay_str text;
  size_t index, count;
  /// The names of members that were asked for, as a list in words.
  relay_buf asked_for;
  bool asked;
};

// Deeper settings are a mistake; the host's own reader has this limit too.
enum { MAX_DEPTH = 127 };

static relay_setting *find(const relay_setting *object, relay_str name) {
  for (relay_setting *s = object->first; s != NULL; s = s->next)
    if (relay_equal(s->name, name)) return s;
  return NULL;
}

static void append(relay_setting *parent, relay_setting *child) {
  child->root = parent->root;
  child->parent = parent;
  child->index = parent->count++;
  if (parent->last != NULL) parent->last->next = child;
  else parent->first = child;
  parent->last = child;
}

static void read(relay_setting *setting, relay_json *json, int depth) {
  relay_kind kind = relay_json_kind(json);
  size_t start = json->at;
  if (kind != RELAY_SCALAR && depth == MAX_DEPTH) {
    json->expected = "less depth";
    return;
  }
  if (kind == RELAY_OBJECT) {
    relay_key key;
    relay_json_object(json);
    while (relay_json_member(json, &key)) {
      // Of a repeated name the last value counts.
      relay_setting *child = find(setting, key.name);
      if (child == NULL) {
        child = relay_alloc(1, sizeof *child);
        child->name = key.name;
        append(setting, child);
      }
      child->first = child->last = NULL;
      child->count = 0;
      read(child, json, depth + 1);
    }
  } else if (kind == RELAY_ARRAY) {
    relay_json_array(json);
    while (relay_json_element(json)) {
      relay_setting *child = relay_alloc(1, sizeof *child);
      append(setting, child);
      read(child, json, depth + 1);
    }
  } else {
    relay_json_value(json, NULL);
  }
  setting->text = (relay_str){json->text.ptr + start, json->at - start};
}

/// `keep[0].operation`, without anything for the settings themselves.
static void write_path(relay_buf *out, const relay_setting *at) {
  if (at->parent == NULL) return;
  write_path(out, at->parent);
  if (at->name.ptr == NULL) {
    relay_buf_add(out, relay_format("[%zu]", at->index));
    return;
  }
  if (out->len > 0) relay_buf_add(out, RELAY_STR("."));
  relay_buf_add(out, at->name);
}

void relay_refuse(relay_setting *setting, const char *format, ...) {
  if (setting->root->error.ptr != NULL) return;
  relay_buf out = {0};
  write_path(&out, setting);
  if (out.len > 0) relay_buf_add(&out, RELAY_STR(": "));
  va_list args;
  va_start(args, format);
  relay_buf_add(&out, relay_vformat(format, args));
  va_end(args);
  setting->root->error = relay_buf_str(&out);
}

bool relay_refused(const relay_setting *setting) { return setting->root->error.ptr != NULL; }

relay_setting *relay_settings_read(relay_str text) {
  relay_setting *settings = relay_alloc(1, sizeof *settings);
  settings->root = relay_alloc(1, sizeof *settings->root);
  relay_json json = relay_json_part(text);
  relay_json_kind(&json);
  if (json.at == text.len) json = relay_json_part(RELAY_STR("{}"));
  bool object = relay_json_kind(&json) == RELAY_OBJECT;
  read(settings, &json, 0);
  if (!relay_json_end(&json)) relay_refuse(settings, "settings: expected %s at byte %zu", json.expected, json.at);
  else if (!object) relay_refuse(settings, "settings: not an object");
  return settings;
}

/// The first member that nobody asked for, in an object that was asked for
/// members.
static relay_setting *unknown(const relay_setting *setting) {
  for (relay_setting *s = setting->first; s != NULL; s = s->next) {
    if (setting->asked_for.len > 0 && !s->asked) return s;
    relay_setting *below = unknown(s);
    if (below != NULL) return below;
  }
  return NULL;
}

relay_str relay_settings_verdict(relay_setting *settings) {
  relay_setting *found = unknown(settings);
  if (found != NULL) {
    // A misspelt name is often the cause of another error.
    settings->root->error = (relay_str){0};
    relay_refuse(found->parent, "unknown setting `%.*s`, expected %.*s", RELAY_ARG(found->name),
                 (int)found->parent->asked_for.len, found->parent->asked_for.ptr);
  }
  return settings->root->error;
}

static bool is_null(const relay_setting *setting) { return relay_is(setting->text, "null"); }

static bool is(relay_setting *setting, char first, const char *what) {
  if (setting->text.ptr[0] == first) return true;
  relay_refuse(setting, "expected %s, found `%.*s`", what, RELAY_ARG(setting->text));
  return false;
}

relay_setting *relay_get(relay_setting *object, const char *name) {
  if (object == NULL || !is(object, '{', "an object")) return NULL;
  relay_buf *asked = &object->asked_for;
  relay_buf_add(asked, relay_format("%s`%s`", asked->len > 0 ? ", " : "", name));
  relay_setting *found = find(object, relay_str_of(name));
  if (found != NULL) found->asked = true;
  return found;
}

relay_setting *relay_get_option(relay_setting *object, const char *name) {
  relay_setting *found = relay_get(object, name);
  return found != NULL && is_null(found) ? NULL : found;
}

relay_setting *relay_need(relay_setting *object, const char *name) {
  relay_setting *found = relay_get(object, name);
  if (object != NULL && found == NULL) relay_refuse(object, "`%s` is missing", name);
  return found;
}

relay_str relay_text(relay_setting *setting) {
  relay_str text = {0};
  if (setting == NULL || !is(setting, '"', "a string")) return text;
  text = relay_json_decode(setting->text);
  if (text.ptr == NULL) relay_refuse(setting, "the string has no UTF-8 form");
  return relay_keep_str(text);
}

relay_str relay_text_or(relay_setting *setting, const char *otherwise) {
  return setting == NULL ? relay_str_of(otherwise) : relay_text(setting);
}

bool relay_bool(relay_setting *setting) {
  if (setting == NULL) return false;
  bool yes = relay_is(setting->text, "true");
  return yes || (is(setting, 'f', "true or false") && false);
}

relay_path relay_path_of(relay_setting *setting) {
  relay_path path = {0};
  const char *why;
  relay_str text = relay_text(setting);
  if (text.ptr != NULL && !relay_path_parse(text, &path, &why))
    relay_refuse(setting, "`%.*s`: %s", RELAY_ARG(text), why);
  return path;
}

/// JSON without white space between its parts; strings as JSON writers have
/// them.
static void compact(relay_buf *out, const relay_setting *s) {
  char first = s->text.ptr[0];
  if (first != '{' && first != '[') {
    relay_str decoded = relay_json_decode(s->text);
    if (decoded.ptr != NULL) relay_buf_add_json(out, decoded);
    else relay_buf_add(out, s->text);
    return;
  }
  relay_buf_add(out, (relay_str){&first, 1});
  for (const relay_setting *child = s->first; child != NULL; child = child->next) {
    if (child != s->first) relay_buf_add(out, RELAY_STR(","));
    if (first == '{') {
      relay_buf_add_json(out, child->name);
      relay_buf_add(out, RELAY_STR(":"));
    }
    compact(out, child);
  }
  relay_buf_add(out, first == '{' ? RELAY_STR("}") : RELAY_STR("]"));
}

relay_str relay_raw(relay_setting *setting) {
  if (setting == NULL) return (relay_str){0};
  relay_buf out = {0};
  compact(&out, setting);
  return relay_keep_str(relay_buf_str(&out));
}

relay_setting *relay_elements(relay_setting *setting, size_t *count) {
  bool list = setting != NULL && is(setting, '[', "a list");
  if (count != NULL) *count = list ? setting->count : 0;
  return list ? setting->first : NULL;
}

relay_setting *relay_members(relay_setting *setting, size_t *count) {
  bool object = setting != NULL && is(setting, '{', "an object");
  if (count != NULL) *count = object ? setting->count : 0;
  return object ? setting->first : NULL;
}

relay_setting *relay_next(const relay_setting *setting) { return setting->next; }

relay_str relay_name(const relay_setting *setting) { return setting->name; }
