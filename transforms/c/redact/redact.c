// Masks, removes and renames fields of a JSON payload; settings and behaviour
// are those of ../../rust/redact/README.md.
//
// The payload is read once and written once; all that is not named is copied by
// its text, so digits, escapes, order and white space stay.
#include "relay.h"

/// What the settings say about one value and what is in it: the paths as one
/// tree, walked along with the payload.
typedef struct node {
  /// Of a member; none for `[]`.
  relay_str name;
  /// Mask or remove this value; nothing below it is looked at then.
  bool hit;
  /// A new name for the key that leads here, and the same as JSON text.
  relay_str rename, rename_json;
  /// In the object being walked: the key was renamed, another one has that name.
  bool given, taken;
  struct node *each, *names, *next;
} node;

typedef struct redact {
  node root;
  /// JSON text put in place of a field; none removes it.
  relay_str replace;
} redact;

// --- Settings ---------------------------------------------------------------

static node *child_of(const node *parent, relay_str name) {
  // Few names as a rule: comparing lengths first beats hashing.
  for (node *n = parent->names; n != NULL; n = n->next)
    if (relay_equal(n->name, name)) return n;
  return NULL;
}

/// The node at the end of the steps, made where it is missing.
static node *add(node *at, const relay_str *steps, size_t count) {
  for (size_t i = 0; i < count; i++) {
    node *next = steps[i].ptr == NULL ? at->each : child_of(at, steps[i]);
    if (next == NULL) {
      next = relay_keep(1, sizeof *next);
      next->name = steps[i];
      if (next->name.ptr == NULL) {
        at->each = next;
      } else {
        next->next = at->names;
        at->names = next;
      }
    }
    at = next;
  }
  return at;
}

static node *renamed_to(const node *object, relay_str name) {
  for (node *n = object->names; n != NULL; n = n->next)
    if (n->rename.ptr != NULL && relay_equal(n->rename, name)) return n;
  return NULL;
}

static void add_rename(redact *self, relay_setting *entry) {
  relay_path path;
  const char *why;
  relay_str name = relay_text(entry);
  if (name.ptr == NULL) return;
  if (!relay_path_parse(relay_keep_str(relay_name(entry)), &path, &why)) {
    relay_refuse(entry, "%s", why);
  } else if (path.steps[path.count - 1].ptr == NULL) {
    relay_refuse(entry, "only a name can be renamed, not `[]`");
  } else if (name.len == 0 || memchr(name.ptr, '.', name.len) != NULL || memchr(name.ptr, '[', name.len) != NULL) {
    relay_refuse(entry, "`%.*s` is not a name: a key stays where it is", RELAY_ARG(name));
  } else {
    node *parent = add(&self->root, path.steps, path.count - 1);
    if (renamed_to(parent, name) != NULL) {
      relay_refuse(entry, "another key of the same object becomes `%.*s`", RELAY_ARG(name));
      return;
    }
    node *field = add(parent, &path.steps[path.count - 1], 1);
    if (field->hit && self->replace.ptr == NULL) relay_refuse(entry, "the field is removed by `fields`");
    relay_buf json = {0};
    relay_buf_add_json(&json, name);
    field->rename = name;
    field->rename_json = relay_keep_str(relay_buf_str(&json));
  }
}

static void *create(relay_setting *settings) {
  redact *self = relay_keep(1, sizeof *self);
  size_t fields, renames;
  relay_setting *field = relay_elements(relay_get(settings, "fields"), &fields);
  relay_setting *rename = relay_members(relay_get(settings, "rename"), &renames);
  relay_setting *replace = relay_get(settings, "replace");
  bool remove = relay_bool(relay_get(settings, "remove"));

  if (fields == 0 && renames == 0) relay_refuse(settings, "`fields` or `rename` must name at least one path");
  if (remove && replace != NULL) relay_refuse(settings, "`replace` has no use with `remove`: give one of them");
  if (!remove) self->replace = replace == NULL ? RELAY_STR("\"***\"") : relay_raw(replace);
  for (; field != NULL; field = relay_next(field)) {
    relay_path path = relay_path_of(field);
    if (path.count > 0) add(&self->root, path.steps, path.count)->hit = true;
  }
  for (; rename != NULL; rename = relay_next(rename)) add_rename(self, rename);
  return self;
}

// --- Events -----------------------------------------------------------------

/// One walk over a payload.
typedef struct walk {
  relay_json json;
  relay_edits edits;
  relay_str replace;
  /// The name that a rename would make twice in one object; none as a rule.
  relay_str twice;
} walk;

static void mask(walk *w) {
  relay_str value;
  if (relay_json_value(&w->json, &value) && !relay_equal(value, w->replace))
    relay_edit(&w->edits, w->json.at - value.len, w->json.at, w->replace);
}

/// Which commas go with the removed members of one object.
typedef struct commas {
  /// The end of the last member read, once a kept one came before it: what is
  /// removed then takes the comma in front of it. 0 before that.
  size_t end;
  /// Start of removed members that no kept one precedes: they take the comma
  /// behind them. 0 if there are none.
  size_t leading;
} commas;

static void kept(walk *w, commas *c, size_t start) {
  if (c->leading != 0) relay_edit(&w->edits, c->leading, start, RELAY_STR(""));
  c->leading = 0;
}

static void removed(walk *w, commas *c, size_t start, size_t end) {
  if (c->end != 0) {
    relay_edit(&w->edits, c->end, end, RELAY_STR(""));
    c->end = end;
  } else if (c->leading == 0) {
    c->leading = start;
  }
}

static void walk_value(walk *w, node *node);

static void walk_object(walk *w, node *object) {
  commas commas = {0};
  relay_key key;
  size_t end = 0;
  for (node *n = object->names; n != NULL; n = n->next) n->given = n->taken = false;
  relay_json_object(&w->json);
  while (relay_json_member(&w->json, &key)) {
    node *child = child_of(object, key.name), *same_name = renamed_to(object, key.name);
    if (child != NULL && child->hit && w->replace.ptr == NULL) {
      if (!relay_json_value(&w->json, NULL)) return;
      end = w->json.at;
      removed(w, &commas, key.start, end);
      continue;
    }
    kept(w, &commas, key.start);
    if (child != NULL && child->rename.ptr != NULL) {
      child->given = true;
      if (!relay_equal(child->rename, key.name)) relay_edit(&w->edits, key.start, key.end, child->rename_json);
    } else if (same_name != NULL) {
      same_name->taken = true;
    }
    if (child == NULL) relay_json_value(&w->json, NULL);
    else if (child->hit) mask(w);
    else walk_value(w, child);
    end = commas.end = w->json.at;
  }
  if (w->json.expected != NULL) return;
  kept(w, &commas, end);
  for (node *n = object->names; n != NULL; n = n->next) {
    if (!n->given || !n->taken) continue;
    w->twice = n->rename;
    w->json.expected = "no key twice";
  }
}

/// An array of which every element is masked, or removed.
static void walk_hits(walk *w) {
  size_t start = 0, end = 0;
  relay_str value;
  relay_json_array(&w->json);
  while (relay_json_element(&w->json)) {
    if (w->replace.ptr != NULL) {
      mask(w);
    } else if (relay_json_value(&w->json, &value)) {
      end = w->json.at;
      if (start == 0) start = end - value.len;
    }
  }
  if (start != 0) relay_edit(&w->edits, start, end, RELAY_STR(""));
}

static void walk_value(walk *w, node *node) {
  relay_kind kind = relay_json_kind(&w->json);
  if (kind == RELAY_OBJECT && node->names != NULL) {
    walk_object(w, node);
  } else if (kind == RELAY_ARRAY && node->each != NULL && node->each->hit) {
    walk_hits(w);
  } else if (kind == RELAY_ARRAY && node->each != NULL) {
    relay_json_array(&w->json);
    while (relay_json_element(&w->json)) walk_value(w, node->each);
  } else {
    relay_json_value(&w->json, NULL);
  }
}

static relay_outcome apply(void *context, const relay_event *event) {
  redact *self = context;
  if (event->payload.ptr == NULL) return relay_pass();
  walk w = {relay_json_open(event->payload), relay_edits_of(event->payload), self->replace, {0}};
  if (w.json.expected == NULL) walk_value(&w, &self->root);
  if (w.twice.ptr != NULL)
    return relay_poison("name-taken", "cannot rename a key to `%.*s`: the object has one of that name",
                        RELAY_ARG(w.twice));
  if (!relay_json_end(&w.json)) return relay_invalid_json(&w.json);
  relay_str text = relay_edits_finish(&w.edits);
  return text.ptr == NULL ? relay_pass() : relay_emit_payload(text);
}

static unsigned unused(const void *self) {
  (void)self;
  return RELAY_UNUSED_BEFORE | RELAY_UNUSED_HEADERS;
}

const relay_transform relay_exported = {.create = create, .apply = apply, .unused = unused};
