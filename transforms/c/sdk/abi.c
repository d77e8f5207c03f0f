// The world `transform` of relay:transform@1.0.0 in the canonical ABI of the
// component model: what a bindings generator would make. It is written by hand
// because the contract is frozen for all of 1.x, because the memory of a whole
// batch can then be one arena, and because a project then needs no generator.
// ../test.sh compares these layouts with generated ones.
#include "internal.h"

#include <stdlib.h>

// Strings and lists are a pointer and a length, as `relay_str` is.
typedef struct abi_list {
  void *ptr;
  size_t len;
} abi_list;

typedef struct abi_option_list {
  bool some;
  relay_str value;
} abi_option_list;

typedef struct abi_header {
  relay_str name;
  abi_option_list value;
} abi_header;

typedef struct abi_event {
  relay_str id;
  uint64_t commit, index;
  int64_t time;
  uint8_t operation;
  relay_str entity, event_type, topic;
  abi_option_list key, payload, before;
  abi_list unchanged, headers;
} abi_event;

typedef struct abi_option_u32 {
  bool some;
  uint32_t value;
} abi_option_u32;

typedef struct abi_content {
  bool some;
  struct {
    uint8_t tag;
    relay_str value;
  } content;
} abi_content;

enum { CONTENT_NULL, CONTENT_TEXT, CONTENT_BYTES };

typedef struct abi_message {
  abi_option_list id, event_type, topic;
  abi_option_u32 partition;
  abi_content key, payload;
  struct {
    bool some;
    abi_list remove, append;
  } headers;
} abi_message;

typedef struct abi_outcome {
  uint8_t tag;
  union {
    abi_option_list drop;
    abi_list emit;
    struct {
      uint8_t kind;
      relay_str code, detail;
    } fail;
  } value;
} abi_outcome;

enum { OUTCOME_PASS, OUTCOME_DROP, OUTCOME_EMIT, OUTCOME_FAIL };

#ifdef __wasm__

#define IMPORT(from, name) __attribute__((import_module(from), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define TRANSFORMER "relay:transform/transformer@1.0.0"

IMPORT("relay:transform/host@1.0.0", "log")
extern void host_log(int level, const char *text, size_t len, int has_event, uint32_t event);

IMPORT("[export]" TRANSFORMER, "[resource-new]transform")
extern int resource_new(void *self);

/// What the resource stands for.
typedef struct instance {
  relay_arena kept;
  void *self;
} instance;

static struct {
  bool some;
  uint32_t index;
} current;

void relay_host_log(relay_level level, relay_str line) {
  host_log(level, line.ptr, line.len, current.some, current.index);
}

EXPORT("cabi_realloc")
void *relay_abi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  // Nothing is read or written there, but the pointer must be aligned.
  if (size == 0) return (void *)align;
  return relay_arena_resize(&relay_call, old, old_size, size);
}

static union {
  struct {
    uint8_t error;
    union {
      int handle;
      relay_str why;
    } value;
  } create;
  abi_list process;
} returned;

EXPORT(TRANSFORMER "#[static]transform.create")
void *relay_abi_create(char *text, size_t len) {
  instance *made = malloc(sizeof *made);
  if (made == NULL) __builtin_trap();
  *made = (instance){0};
  relay_kept = &made->kept;
  relay_setting *settings = relay_settings_read((relay_str){text, len});
  if (relay_exported.create != NULL && !relay_refused(settings)) made->self = relay_exported.create(settings);
  relay_str why = relay_settings_verdict(settings);
  if (relay_exported.create == NULL && why.ptr == NULL && relay_members(settings, NULL) != NULL)
    why = relay_format("unknown setting `%.*s`: there are none", RELAY_ARG(relay_name(relay_members(settings, NULL))));
  // The host traps at text that is not UTF-8.
  size_t valid;
  if (!relay_is_utf8(why, &valid)) why.len = valid;
  returned.create.error = why.ptr != NULL;
  if (why.ptr == NULL) {
    returned.create.value.handle = resource_new(made);
  } else {
    returned.create.value.why = why;
    relay_arena_free(&made->kept);
    free(made);
  }
  return &returned;
}

EXPORT("cabi_post_" TRANSFORMER "#[static]transform.create")
void relay_abi_create_done(void *result) {
  (void)result;
  relay_arena_reset(&relay_call);
}

EXPORT(TRANSFORMER "#[dtor]transform")
void relay_abi_destroy(instance *self) {
  relay_arena_free(&self->kept);
  free(self);
}

EXPORT(TRANSFORMER "#[method]transform.unused")
int relay_abi_unused(instance *self) {
  relay_kept = &self->kept;
  unsigned unused = relay_exported.unused == NULL ? 0 : relay_exported.unused(self->self);
  relay_arena_reset(&relay_call);
  return (int)(unused & (RELAY_UNUSED_PAYLOAD | RELAY_UNUSED_BEFORE | RELAY_UNUSED_HEADERS));
}

/// Empty text may come without a pointer, which would be none here.
static relay_str given(relay_str s) { return s.len == 0 ? RELAY_STR("") : s; }

static relay_str option(abi_option_list option) { return option.some ? given(option.value) : (relay_str){0}; }

static relay_event lift(const abi_event *from) {
  abi_header *headers = from->headers.ptr;
  relay_header *lifted = relay_alloc(from->headers.len, sizeof *lifted);
  for (size_t i = 0; i < from->headers.len; i++)
    lifted[i] = (relay_header){given(headers[i].name), option(headers[i].value)};
  return (relay_event){
      .id = given(from->id),
      .commit = from->commit,
      .index = from->index,
      .time = from->time,
      .operation = from->operation,
      .entity = given(from->entity),
      .event_type = given(from->event_type),
      .topic = given(from->topic),
      .key = option(from->key),
      .payload = option(from->payload),
      .before = option(from->before),
      .unchanged = from->unchanged.ptr,
      .unchanged_count = from->unchanged.len,
      .headers = lifted,
      .header_count = from->headers.len,
  };
}

// --- Handing over -----------------------------------------------------------

/// The first field of an outcome that is not what the contract wants.
typedef struct wrong {
  const char *field, *why;
} wrong;

static relay_str text(relay_str s, const char *field, wrong *wrong) {
  // The host traps at text that is not UTF-8, without saying where.
  if (wrong->field == NULL && s.ptr == NULL) *wrong = (struct wrong){field, "is none"};
  if (wrong->field == NULL && !relay_is_utf8(s, NULL)) *wrong = (struct wrong){field, "is not UTF-8"};
  return s;
}

static abi_option_list optional(relay_str s, const char *field, wrong *wrong) {
  return s.ptr == NULL ? (abi_option_list){0} : (abi_option_list){true, text(s, field, wrong)};
}

static abi_content content(relay_content from) {
  if (from.null) return (abi_content){.some = true};
  // Always as bytes: text would be checked by the host once more.
  return (abi_content){from.bytes.ptr != NULL, {CONTENT_BYTES, from.bytes}};
}

static abi_message lower_message(const relay_message *from, wrong *wrong) {
  abi_message to = {
      .id = optional(from->id, "id", wrong),
      .event_type = optional(from->event_type, "event_type", wrong),
      .topic = optional(from->topic, "topic", wrong),
      .partition = {from->has_partition, from->partition},
      .key = content(from->key),
      .payload = content(from->payload),
  };
  to.headers.some = from->remove_count > 0 || from->append_count > 0;
  if (!to.headers.some) return to;
  relay_str *remove = relay_alloc(from->remove_count, sizeof *remove);
  for (size_t i = 0; i < from->remove_count; i++) remove[i] = text(from->remove_headers[i], "remove_headers", wrong);
  abi_header *append = relay_alloc(from->append_count, sizeof *append);
  for (size_t i = 0; i < from->append_count; i++) {
    const relay_header *header = &from->append_headers[i];
    append[i].name = text(header->name, "append_headers", wrong);
    append[i].value = (abi_option_list){header->value.ptr != NULL, header->value};
  }
  to.headers.remove = (abi_list){remove, from->remove_count};
  to.headers.append = (abi_list){append, from->append_count};
  return to;
}

static abi_outcome lower(relay_outcome from) {
  abi_outcome to = {0};
  wrong wrong = {0};
  switch (from.kind) {
    case RELAY_PASSED:
      break;
    case RELAY_DROPPED:
      to.tag = OUTCOME_DROP;
      to.value.drop = optional(from.code, "reason", &wrong);
      break;
    case RELAY_EMITTED: {
      to.tag = OUTCOME_EMIT;
      abi_message *messages = relay_alloc(from.count, sizeof *messages);
      for (size_t i = 0; i < from.count; i++) messages[i] = lower_message(&from.messages[i], &wrong);
      to.value.emit = (abi_list){messages, from.count};
      break;
    }
    case RELAY_FAILED:
      to.tag = OUTCOME_FAIL;
      to.value.fail.kind = from.halt;
      to.value.fail.code = text(from.code, "code", &wrong);
      // A detail often quotes what is wrong with the event.
      if (from.detail.ptr != NULL && relay_is_utf8(from.detail, NULL)) to.value.fail.detail = from.detail;
      else to.value.fail.detail = RELAY_STR("(the detail is not UTF-8)");
      break;
    default:
      wrong = (struct wrong){"outcome", "is none of the four: was it initialised?"};
  }
  if (wrong.field == NULL) return to;
  return lower(relay_poison("exception", "the transform returned a wrong outcome: `%s` %s", wrong.field, wrong.why));
}

EXPORT(TRANSFORMER "#[method]transform.process")
void *relay_abi_process(instance *self, const abi_event *events, size_t count) {
  relay_kept = &self->kept;
  abi_outcome *outcomes = relay_alloc(count, sizeof *outcomes);
  for (size_t i = 0; i < count; i++) {
    current.some = true;
    current.index = (uint32_t)i;
    relay_event event = lift(&events[i]);
    outcomes[i] = lower(relay_exported.apply(self->self, &event));
  }
  current.some = false;
  returned.process = (abi_list){outcomes, count};
  return &returned;
}

EXPORT("cabi_post_" TRANSFORMER "#[method]transform.process")
void relay_abi_process_done(void *result) {
  (void)result;
  relay_arena_reset(&relay_call);
}

#endif
