// JSON by its text: reading and checking.
#include "internal.h"

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
  if (json->expected == NULL) blank(json);
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
  relay_json json = relay_json_part(quoted);
  bool escaped;
  if (!string(&json, &escaped) || json.at != quoted.len) return none;
  const char *s = quoted.ptr + 1, *end = quoted.ptr + quoted.len - 1;
  if (!escaped) return (relay_str){s, (size_t)(end - s)};
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
