// JSON by its text: reading, finding, editing.
#include "internal.h"

#include <stdlib.h>

// --- Reading ----------------------------------------------------------------

relay_json relay_json_part(relay_str text) { return (relay_json){.text = text}; }

relay_json relay_json_open(relay_str text) {
  relay_json json = relay_json_part(text);
  if (!relay_is_utf8(text, &json.at)) json.expected = "UTF-8";
  return json;
}

/// The next byte; NUL, which JSON allows nowhere, at the end.
static char peek(const relay_json *json) {
  return json->at < json->text.len ? json->text.ptr[json->at] : '\0';
}

static bool expected(relay_json *json, const char *what) {
  if (json->expected == NULL) json->expected = what;
  return false;
}

static bool took(relay_json *json, char c) {
  bool found = peek(json) == c;
  json->at += found;
  return found;
}

static bool take(relay_json *json, char c, const char *what) {
  return took(json, c) || expected(json, what);
}

static void blank(relay_json *json) {
  for (char c = peek(json); c == ' ' || c == '\n' || c == '\r' || c == '\t'; c = peek(json)) json->at++;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool digits(relay_json *json) {
  if (!is_digit(peek(json))) return expected(json, "a digit");
  while (is_digit(peek(json))) json->at++;
  return true;
}

static bool number(relay_json *json) {
  took(json, '-');
  if (!took(json, '0') && !digits(json)) return false;
  if (took(json, '.') && !digits(json)) return false;
  if (took(json, 'e') || took(json, 'E')) {
    if (!took(json, '+')) took(json, '-');
    return digits(json);
  }
  return true;
}

static bool literal(relay_json *json, const char *name) {
  size_t len = strlen(name);
  if (json->text.len - json->at < len || memcmp(json->text.ptr + json->at, name, len) != 0)
    return expected(json, name);
  json->at += len;
  return true;
}

/// How many bytes from the start need no look inside a string: neither quote
/// nor backslash nor control character.
static size_t plain(const char *bytes, size_t len) {
  const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
  size_t at = 0;
  for (uint64_t word; len - at >= sizeof word; at += sizeof word) {
    memcpy(&word, bytes + at, sizeof word);
    uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
    // The high bit of each byte that is zero, or below 0x20; the loop below
    // finds which, so it does not matter that a borrow can mark a byte wrongly.
    if ((((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * 0x20) & ~word)) & highs) break;
  }
  while (at < len && bytes[at] != '"' && bytes[at] != '\\' && (unsigned char)bytes[at] >= 0x20) at++;
  return at;
}

static bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool string(relay_json *json, bool *escaped) {
  *escaped = false;
  if (!take(json, '"', "a string")) return false;
  for (;;) {
    json->at += plain(json->text.ptr + json->at, json->text.len - json->at);
    if (took(json, '"')) return true;
    if (!take(json, '\\', "the end of a string, or an escaped control character")) return false;
    *escaped = true;
    char c = peek(json);
    if (c == '\0' || strchr("\"\\/bfnrtu", c) == NULL) return expected(json, "an escape");
    json->at++;
    for (int i = 0; c == 'u' && i < 4; i++) {
      if (!is_hex(peek(json))) return expected(json, "a hex digit");
      json->at++;
    }
  }
}

static bool name_and_colon(relay_json *json) {
  bool escaped;
  if (!string(json, &escaped)) return false;
  blank(json);
  if (!take(json, ':', "`:`")) return false;
  blank(json);
  return true;
}

/// Which containers are open: a bit each (1: object), so that depth costs no
/// allocation up to 64, next to none beyond, and no recursion ever.
typedef struct nesting {
  size_t depth;
  uint64_t word;
  relay_buf full;
} nesting;

static void push(nesting *open, bool object) {
  if (open->depth > 0 && open->depth % 64 == 0)
    relay_buf_add(&open->full, (relay_str){(const char *)&open->word, sizeof open->word});
  open->word = open->word << 1 | object;
  open->depth++;
}

static void pop(nesting *open) {
  open->depth--;
  open->word >>= 1;
  if (open->depth > 0 && open->depth % 64 == 0) {
    open->full.len -= sizeof open->word;
    memcpy(&open->word, open->full.ptr + open->full.len, sizeof open->word);
  }
}

static bool scan(relay_json *json) {
  nesting open = {0};
  for (bool escaped;;) {
    switch (peek(json)) {
      case '{':
        json->at++;
        blank(json);
        if (took(json, '}')) break;
        if (!name_and_colon(json)) return false;
        push(&open, true);
        continue;
      case '[':
        json->at++;
        blank(json);
        if (took(json, ']')) break;
        push(&open, false);
        continue;
      case '"':
        if (!string(json, &escaped)) return false;
        break;
      case 't':
        if (!literal(json, "true")) return false;
        break;
      case 'f':
        if (!literal(json, "false")) return false;
        break;
      case 'n':
        if (!literal(json, "null")) return false;
        break;
      default:
        if (peek(json) != '-' && !is_digit(peek(json))) return expected(json, "a value");
        if (!number(json)) return false;
    }
    for (;;) {
      if (open.depth == 0) return true;
      bool object = open.word & 1;
      blank(json);
      if (took(json, ',')) {
        blank(json);
        if (object && !name_and_colon(json)) return false;
        break;
      }
      if (!take(json, object ? '}' : ']', object ? "`,` or `}`" : "`,` or `]`")) return false;
      pop(&open);
    }
  }
}

relay_kind relay_json_kind(relay_json *json) {
  blank(json);
  char c = peek(json);
  return c == '{' ? RELAY_OBJECT : c == '[' ? RELAY_ARRAY : RELAY_SCALAR;
}

bool relay_json_value(relay_json *json, relay_str *value) {
  if (value != NULL) *value = (relay_str){0};
  if (json->expected != NULL) return false;
  blank(json);
  size_t start = json->at;
  if (!scan(json)) return false;
  if (value != NULL) *value = (relay_str){json->text.ptr + start, json->at - start};
  return true;
}

static bool enter(relay_json *json, char c, const char *what) {
  if (json->expected != NULL) return false;
  blank(json);
  json->first = true;
  return take(json, c, what);
}

bool relay_json_object(relay_json *json) { return enter(json, '{', "`{`"); }
bool relay_json_array(relay_json *json) { return enter(json, '[', "`[`"); }

/// Whether an entry follows; what separates it from the one before is read.
static bool entry(relay_json *json, char end, const char *what) {
  if (json->expected != NULL) return false;
  blank(json);
  bool first = json->first;
  json->first = false;
  if (took(json, end)) return false;
  if (!first && !take(json, ',', what)) return false;
  blank(json);
  return true;
}

bool relay_json_member(relay_json *json, relay_key *key) {
  *key = (relay_key){0};
  if (!entry(json, '}', "`,` or `}`")) return false;
  bool escaped;
  key->start = json->at;
  if (!string(json, &escaped)) return false;
  key->end = json->at;
  blank(json);
  if (!take(json, ':', "`:`")) return false;
  relay_str quoted = {json->text.ptr + key->start, key->end - key->start};
  if (escaped) key->name = relay_json_decode(quoted);
  if (key->name.ptr == NULL) key->name = (relay_str){quoted.ptr + 1, quoted.len - 2};
  return true;
}

bool relay_json_element(relay_json *json) { return entry(json, ']', "`,` or `]`"); }

bool relay_json_end(relay_json *json) {
  if (json->expected != NULL) return false;
  blank(json);
  return json->at == json->text.len || expected(json, "the end");
}

relay_outcome relay_invalid_json(const relay_json *json) {
  return relay_poison(RELAY_INVALID_JSON, "payload: expected %s at byte %zu",
                      json->expected != NULL ? json->expected : "JSON", json->at);
}

static uint32_t hex4(const char *s) {
  uint32_t value = 0;
  for (int i = 0; i < 4; i++) value = value << 4 | (uint32_t)(is_digit(s[i]) ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10);
  return value;
}

static size_t utf8(uint32_t c, char *to) {
  if (c < 0x80) {
    to[0] = (char)c;
    return 1;
  }
  size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = len - 1; i > 0; i--, c >>= 6) to[i] = (char)(0x80 | (c & 0x3f));
  to[0] = (char)(0xf00 >> len | c);
  return len;
}

relay_str relay_json_decode(relay_str quoted) {
  relay_str none = {0};
  if (quoted.len < 2 || quoted.ptr[0] != '"' || quoted.ptr[quoted.len - 1] != '"') return none;
  const char *s = quoted.ptr + 1, *end = quoted.ptr + quoted.len - 1;
  if (memchr(s, '\\', (size_t)(end - s)) == NULL) return (relay_str){s, (size_t)(end - s)};
  // The escaped text is never shorter.
  char *text = relay_alloc(quoted.len, 1);
  size_t len = 0;
  while (s < end) {
    if (*s != '\\') {
      text[len++] = *s++;
      continue;
    }
    char c = s[1];
    s += 2;
    if (c == 'u') {
      uint32_t unit = hex4(s);
      s += 4;
      if (unit >= 0xdc00 && unit < 0xe000) return none;
      if (unit >= 0xd800 && unit < 0xdc00) {
        if (end - s < 6 || s[0] != '\\' || s[1] != 'u') return none;
        uint32_t low = hex4(s + 2);
        if (low < 0xdc00 || low >= 0xe000) return none;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        s += 6;
      }
      len += utf8(unit, text + len);
    } else {
      static const char escapes[] = "bfnrt", meant[] = "\b\f\n\r\t";
      const char *found = strchr(escapes, c);
      text[len++] = found != NULL ? meant[found - escapes] : c;
    }
  }
  return (relay_str){text, len};
}

relay_str relay_json_scalar(relay_str value) {
  if (value.len == 0 || strchr("{[n", value.ptr[0]) != NULL) return (relay_str){0};
  return value.ptr[0] == '"' ? relay_json_decode(value) : value;
}

// --- Paths ------------------------------------------------------------------

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
  if (path.count == 0) {
    each(context, json->text);
    return true;
  }
  relay_str step = path.steps[0], value;
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

// --- Editing ----------------------------------------------------------------

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
