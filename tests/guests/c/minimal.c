// The smallest transform that shows every answer of the contract; each
// language has a twin, and one test runs them all.
//
// What is returned is freed by the bindings, so every string and list in it is
// allocated; the arguments are ours to free.
#include "transform.h"
#include <stdlib.h>
#include <string.h>

typedef exports_relay_transform_transformer_event_t event_t;
typedef exports_relay_transform_transformer_outcome_t outcome_t;
typedef relay_transform_types_message_t message_t;
typedef relay_transform_types_header_t header_t;

struct exports_relay_transform_transformer_transform_t {
  char nothing;
};

static void *zeroed(size_t count, size_t size) {
  void *p = calloc(count, size);
  if (p == NULL) abort();
  return p;
}

static bool is(transform_string_t s, const char *text) {
  return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

static transform_option_string_t some(const char *text) {
  transform_option_string_t s = {.is_some = true};
  transform_string_dup(&s.val, text);
  return s;
}

static relay_transform_types_option_content_t text(const char *t) {
  relay_transform_types_option_content_t c = {.is_some = true};
  c.val.tag = RELAY_TRANSFORM_TYPES_CONTENT_TEXT;
  transform_string_dup(&c.val.val.text, t);
  return c;
}

static message_t *emit(outcome_t *o, size_t count) {
  message_t *m = zeroed(count, sizeof *m);
  o->tag = RELAY_TRANSFORM_TYPES_OUTCOME_EMIT;
  o->val.emit.ptr = m;
  o->val.emit.len = count;
  return m;
}

/// Asks for one header more; its value is none unless the caller sets it.
static header_t *append(message_t *m, const char *name) {
  header_t *h = zeroed(1, sizeof *h);
  transform_string_dup(&h->name, name);
  m->headers.is_some = true;
  m->headers.val.append.ptr = h;
  m->headers.val.append.len = 1;
  return h;
}

static void fail(outcome_t *o, relay_transform_types_failure_kind_t kind,
                 transform_string_t detail) {
  o->tag = RELAY_TRANSFORM_TYPES_OUTCOME_FAIL;
  o->val.fail.kind = kind;
  transform_string_dup(&o->val.fail.code, "asked");
  if (detail.len > 0)
    transform_string_dup_n(&o->val.fail.detail, (char *)detail.ptr, detail.len);
}

static void one(uint32_t index, const event_t *e, outcome_t *o) {
  o->tag = RELAY_TRANSFORM_TYPES_OUTCOME_PASS;
  if (is(e->event_type, "drop")) {
    o->tag = RELAY_TRANSFORM_TYPES_OUTCOME_DROP;
    o->val.drop = some("asked");
  } else if (is(e->event_type, "emit2")) {
    message_t *m = emit(o, 2);
    m[0].payload = text("a");
    header_t *h = append(&m[0], "h");
    h->value.is_some = true;
    h->value.val.ptr = zeroed(1, 1);
    h->value.val.len = 1;
    h->value.val.ptr[0] = '1';
    m[1].payload.is_some = true;
    m[1].payload.val.tag = RELAY_TRANSFORM_TYPES_CONTENT_NULL;
    m[1].topic = some("other");
  } else if (is(e->event_type, "edit")) {
    message_t *m = emit(o, 1);
    m->key = text("k2");
    append(m, "n");
    m->headers.val.remove.ptr = zeroed(1, sizeof(transform_string_t));
    m->headers.val.remove.len = 1;
    transform_string_dup(m->headers.val.remove.ptr, "x");
  } else if (is(e->event_type, "fail")) {
    fail(o, RELAY_TRANSFORM_TYPES_FAILURE_KIND_POISON, e->id);
  } else if (is(e->event_type, "halt")) {
    fail(o, RELAY_TRANSFORM_TYPES_FAILURE_KIND_HALT, (transform_string_t){0});
  } else if (is(e->event_type, "log")) {
    transform_string_t hello;
    transform_string_set(&hello, "hello");
    relay_transform_host_log(RELAY_TRANSFORM_HOST_LEVEL_INFO, &hello, &index);
  } else if (is(e->event_type, "echo")) {
    message_t *m = emit(o, 1);
    size_t len = e->payload.is_some ? e->payload.val.len : 0;
    m->event_type = some("echoed");
    m->payload.is_some = true;
    m->payload.val.tag = RELAY_TRANSFORM_TYPES_CONTENT_BYTES;
    if (len > 0) {
      uint8_t *bytes = zeroed(len, 1);
      for (size_t i = 0; i < len; i++) bytes[i] = e->payload.val.ptr[len - 1 - i];
      m->payload.val.val.bytes.ptr = bytes;
      m->payload.val.val.bytes.len = len;
    }
  }
}

static const char *skip(const char *s, const char *end) {
  while (s < end && strchr(" \t\r\n:", *s)) s++;
  return s;
}

/// Finds the member by its text alone, whatever its depth and escapes.
static bool refused(transform_string_t settings, transform_string_t *why) {
  static const char name[] = "\"refuse\"";
  const char *s = (const char *)settings.ptr, *end = s + settings.len;
  for (; s + sizeof name - 1 <= end; s++) {
    if (memcmp(s, name, sizeof name - 1) != 0) continue;
    const char *from = skip(s + sizeof name - 1, end);
    if (from >= end || *from++ != '"') return false;
    const char *to = from;
    while (to < end && *to != '"') to++;
    transform_string_dup_n(why, from, (size_t)(to - from));
    return true;
  }
  return false;
}

bool exports_relay_transform_transformer_static_transform_create(
    transform_string_t *settings,
    exports_relay_transform_transformer_own_transform_t *ret,
    transform_string_t *err) {
  bool no = refused(*settings, err);
  transform_string_free(settings);
  if (no) return false;
  *ret = exports_relay_transform_transformer_transform_new(
      zeroed(1, sizeof(exports_relay_transform_transformer_transform_t)));
  return true;
}

void exports_relay_transform_transformer_transform_destructor(
    exports_relay_transform_transformer_transform_t *self) {
  free(self);
}

exports_relay_transform_transformer_unused_t
exports_relay_transform_transformer_method_transform_unused(
    exports_relay_transform_transformer_borrow_transform_t self) {
  (void)self;
  return 0;
}

void exports_relay_transform_transformer_method_transform_process(
    exports_relay_transform_transformer_borrow_transform_t self,
    exports_relay_transform_transformer_list_event_t *events,
    exports_relay_transform_transformer_list_outcome_t *ret) {
  (void)self;
  ret->len = events->len;
  ret->ptr = events->len > 0 ? zeroed(events->len, sizeof(outcome_t)) : NULL;
  for (size_t i = 0; i < events->len; i++)
    one((uint32_t)i, &events->ptr[i], &ret->ptr[i]);
  exports_relay_transform_transformer_list_event_free(events);
}
