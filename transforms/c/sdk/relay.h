// SDK for relay transforms in C.
//
// A transform is one `relay_transform`, named `relay_exported`:
//
//     #include "relay.h"
//
//     static relay_outcome apply(void *self, const relay_event *event) {
//       (void)self;
//       return relay_drop_if(!relay_is(event->entity, "order"), "other-entity");
//     }
//
//     const relay_transform relay_exported = {.apply = apply};
//
// Nothing is ever freed by hand. What `relay_alloc` and everything built on it
// gives lives until the outcomes of the batch are handed over; what
// `relay_keep` gives lives as long as the transform. So an outcome may point
// into the event, into event memory, into kept memory or to literals.
//
// There is no clock, no randomness and no I/O; the same event must give the
// same outcome. A C function that needs a system (`printf`, `time`, `exit`)
// makes the component ask for WASI, which the host does not give.
#ifndef RELAY_H
#define RELAY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __GNUC__
#define RELAY_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define RELAY_PRINTF(text, first)
#endif

// --- Text -------------------------------------------------------------------

/// Bytes that somebody else owns; no NUL ends them. NULL is "none", not empty.
typedef struct relay_str {
  const char *ptr;
  size_t len;
} relay_str;

/// A view of a string literal.
#define RELAY_STR(literal) ((relay_str){"" literal, sizeof(literal) - 1})

/// For `%.*s`: `relay_log(RELAY_INFO, "topic %.*s", RELAY_ARG(event->topic))`.
#define RELAY_ARG(s) (int)(s).len, ((s).ptr != NULL ? (s).ptr : "")

/// A view of a C string; none for NULL.
relay_str relay_str_of(const char *text);
/// Whether it is that text; none is no text.
bool relay_is(relay_str s, const char *text);
/// Whether both have the same bytes, or both are none.
bool relay_equal(relay_str a, relay_str b);
/// Orders by bytes, like `strcmp`.
int relay_compare(relay_str a, relay_str b);
/// Whether the bytes are UTF-8; `*at` (may be NULL) is then where they are not.
bool relay_is_utf8(relay_str s, size_t *at);

// --- Memory -----------------------------------------------------------------

/// Zeroed memory that lives until the outcomes are handed over.
void *relay_alloc(size_t count, size_t size);
/// Zeroed memory that lives as long as the transform.
void *relay_keep(size_t count, size_t size);
/// A copy that lives as long as the transform.
relay_str relay_keep_str(relay_str s);
/// Text made as by `printf`, in event memory, a NUL behind it. It knows `%s`,
/// `%.*s` (all those bytes, NUL or not), `%c`, `%d`, `%u`, `%x` (also with `l`,
/// `ll`, `z` and a width of leading zeros, `%04x`) and `%%`, here and wherever a
/// format is taken.
relay_str relay_format(const char *format, ...) RELAY_PRINTF(1, 2);
relay_str relay_vformat(const char *format, va_list args);

/// Text that grows, in event memory. Starts zeroed: `relay_buf out = {0};`
typedef struct relay_buf {
  char *ptr;
  size_t len, capacity;
} relay_buf;

/// Makes room for that many bytes more.
void relay_buf_reserve(relay_buf *buf, size_t more);
void relay_buf_add(relay_buf *buf, relay_str s);
/// Adds the text as a JSON string, with quotes and escapes.
void relay_buf_add_json(relay_buf *buf, relay_str text);
/// What was added, empty but never none.
relay_str relay_buf_str(const relay_buf *buf);

// --- Events -----------------------------------------------------------------

/// What happened in the source.
typedef enum relay_operation {
  RELAY_INSERT, RELAY_UPDATE, RELAY_DELETE, RELAY_TRUNCATE, RELAY_SNAPSHOT, RELAY_MESSAGE
} relay_operation;

/// The name the contract and the config use.
const char *relay_operation_name(relay_operation operation);

/// One record header. Names may repeat; values are bytes, none is Kafka's null.
typedef struct relay_header { relay_str name, value; } relay_header;

/// One event, read only. All text but `key`, `payload` and `before` is UTF-8.
typedef struct relay_event {
  /// Stable across redelivery and unique in the pipeline: the idempotency key.
  relay_str id;
  /// Place of the event in its source; events made from one event share it.
  uint64_t commit, index;
  /// When it happened (outbox) or was committed (CDC), in microseconds since
  /// the Unix epoch. A transform has no other clock.
  int64_t time;
  relay_operation operation;
  /// Outbox: aggregate type. CDC: `schema.table`. Logical message: its prefix.
  relay_str entity;
  /// Outbox: event type; else the operation's name. An earlier transform may
  /// have changed it.
  relay_str event_type;
  /// Where it is published if no transform chooses.
  relay_str topic;
  /// Orders events and picks the partition; may be none.
  relay_str key;
  /// None is a tombstone, or a payload the transform declared unused.
  relay_str payload;
  /// CDC: the row before the change, where known.
  relay_str before;
  /// CDC: columns that did not change and were not sent, absent from `payload`.
  const relay_str *unchanged;
  size_t unchanged_count;
  const relay_header *headers;
  size_t header_count;
} relay_event;

/// The value of the last header of that name that has one, or none.
relay_str relay_header_value(const relay_event *event, relay_str name);

// --- Outcomes ---------------------------------------------------------------

/// A key or payload to publish. All zero is "as in the event".
typedef struct relay_content {
  relay_str bytes;
  /// A null key, or a tombstone, whatever the bytes are.
  bool null;
} relay_content;

/// A message to publish, as changes to its event: what is left zero stays as in
/// the event, and costs no copy.
typedef struct relay_message {
  /// None: the event's id; in a list of several, that id, `:` and the index.
  relay_str id;
  /// What the next transform sees as the event's type.
  relay_str event_type;
  /// One that the config allows.
  relay_str topic;
  /// Unset: by key.
  bool has_partition;
  uint32_t partition;
  /// Order holds per *source* key; a new key brings no order of its own.
  relay_content key;
  relay_content payload;
  /// Names of headers to remove, before any is appended.
  const relay_str *remove_headers;
  size_t remove_count;
  /// Names that begin with `relay-` are the host's.
  const relay_header *append_headers;
  size_t append_count;
} relay_message;

/// What becomes of one event; made by the functions below.
typedef struct relay_outcome {
  enum { RELAY_PASSED, RELAY_DROPPED, RELAY_EMITTED, RELAY_FAILED } kind;
  /// The reason of a drop (may be none), the code of a failure.
  relay_str code;
  relay_str detail;
  /// A failure of the transform itself, not of this event.
  bool halt;
  const relay_message *messages;
  size_t count;
} relay_outcome;

/// Publish unchanged.
relay_outcome relay_pass(void);
/// Acknowledge and publish nothing. The reason becomes a metric label, so it
/// must be one of a few; it may be NULL.
relay_outcome relay_drop(const char *reason);
/// Drops with that reason if the condition holds, passes otherwise.
relay_outcome relay_drop_if(bool condition, const char *reason);
/// Publish in this order. The messages must live in event memory or longer;
/// none at all drops the event.
relay_outcome relay_emit(const relay_message *messages, size_t count);
/// Publish this one message, which is copied.
relay_outcome relay_emit_one(relay_message message);
/// The event as it is, to another topic.
relay_outcome relay_route(relay_str topic);
/// The event with another payload.
relay_outcome relay_emit_payload(relay_str payload);
/// This event can never succeed; the config says what becomes of it. `code` is
/// a metric label: one of a few, never made from data. The detail goes to the
/// dead letter.
relay_outcome relay_poison(const char *code, const char *format, ...) RELAY_PRINTF(2, 3);
/// The transform itself is unusable: stop and alert.
relay_outcome relay_halt(const char *code, const char *format, ...) RELAY_PRINTF(2, 3);

// --- Log --------------------------------------------------------------------

typedef enum relay_level { RELAY_TRACE, RELAY_DEBUG, RELAY_INFO, RELAY_WARN, RELAY_ERROR } relay_level;

/// Writes one line to the host's log, which adds the event being processed and
/// limits rate and length.
void relay_log(relay_level level, const char *format, ...) RELAY_PRINTF(2, 3);

// --- JSON by its text -------------------------------------------------------
//
// Finding, checking and editing values without building them: every other byte
// stays as it was, digits of numbers, escapes, order, white space.

/// Failure code of a payload that is not JSON.
#define RELAY_INVALID_JSON "invalid-json"

/// A scalar is a string, number, `true`, `false` or `null`.
typedef enum relay_kind { RELAY_OBJECT, RELAY_ARRAY, RELAY_SCALAR } relay_kind;

/// Reads JSON text (RFC 8259) from its start to its end, once, and checks all
/// of it. The first error stays: every later call does nothing and returns
/// false, so it is enough to look at the end. Depth is not limited and costs no
/// recursion; values nobody looks into are skipped in a loop.
typedef struct relay_json {
  relay_str text;
  /// The offset just behind what was read.
  size_t at;
  /// What was expected at that offset; NULL as long as all is well.
  const char *expected;
  /// Within a container, before its first entry.
  bool first;
} relay_json;

/// The key of an object's member.
typedef struct relay_key {
  /// With escapes decoded, so that `"em\u0061il"` is `email`. A key that has no
  /// UTF-8 form (a lone surrogate) is left as written.
  relay_str name;
  /// Where it stands, quotes included.
  size_t start, end;
} relay_key;

/// A reader of a whole payload, which is checked to be UTF-8.
relay_json relay_json_open(relay_str text);
/// A reader of a piece of a text that was checked before.
relay_json relay_json_part(relay_str text);
/// What the next value is, judged by its first byte; it is not consumed.
relay_kind relay_json_kind(relay_json *json);
/// Reads past one value of any kind; `*value` (may be NULL) is its text.
bool relay_json_value(relay_json *json, relay_str *value);
/// Enters an object. Then:
///
///     while (relay_json_member(&json, &key)) relay_json_value(&json, &value);
///
/// Each turn must read exactly the member's value.
bool relay_json_object(relay_json *json);
/// Reads the next key; false behind the last member, or at an error.
bool relay_json_member(relay_json *json, relay_key *key);
/// Enters an array; each turn of `relay_json_element` must read exactly one value.
bool relay_json_array(relay_json *json);
/// Whether there is another element; false behind the last, or at an error.
bool relay_json_element(relay_json *json);
/// Checks that nothing but white space is left, and that there was no error.
bool relay_json_end(relay_json *json);
/// The poison `invalid-json` for a reader that has met an error.
relay_outcome relay_invalid_json(const relay_json *json);

/// The value of a JSON string literal, quotes included; none for any other text
/// and for escapes that have no UTF-8 form.
relay_str relay_json_decode(relay_str literal);
/// A string's value, or the text of a number or boolean; none for null, objects
/// and arrays.
relay_str relay_json_scalar(relay_str value);

/// Where a value stands: `customer.email`, `items[].note`, `[].id`.
/// Names are parted by `.`; `[]` is every element of an array, and an array is
/// never entered without it. A backslash takes the next character as it is:
/// `a\.b` is one name.
typedef struct relay_path {
  /// The names in it; none is `[]`.
  const relay_str *steps;
  size_t count;
} relay_path;

/// The path of one member of the payload, whatever its name looks like; lives
/// as long as the transform.
relay_path relay_path_name(relay_str name);
/// Reads a path, which lives as long as the transform. False if the text is
/// none: `*why` then says it.
bool relay_path_parse(relay_str text, relay_path *path, const char **why);
/// Whether it can mean more than one value.
bool relay_path_is_plural(const relay_path *path);

/// Gives the JSON text of each value the path means, in order. Of a repeated
/// key the last value counts, as JSON readers have it. The whole text is
/// checked, found or not: false if it is not JSON, `*failed` is then the
/// outcome.
bool relay_visit(const relay_path *path, relay_str text, void (*each)(void *context, relay_str value),
                 void *context, relay_outcome *failed);
/// The last value the path means, or none.
bool relay_find(const relay_path *path, relay_str text, relay_str *found, relay_outcome *failed);
/// The last value the path means in the payload; none where there is none, for
/// a tombstone and for a payload that is not JSON (which `relay_map_json` and
/// `relay_mask` tell).
relay_str relay_field(const relay_event *event, const relay_path *path);

/// A copy of a text with pieces replaced, in the order of the text.
typedef struct relay_edits {
  relay_str text;
  /// Up to where the text is in the output.
  size_t copied;
  relay_buf out;
} relay_edits;

relay_edits relay_edits_of(relay_str text);
/// Puts another text between two offsets; `end` is not 0.
void relay_edit(relay_edits *edits, size_t start, size_t end, relay_str with);
/// The text with its edits; none if there was no edit.
relay_str relay_edits_finish(relay_edits *edits);

/// Replaces each value the path means, every one of a repeated key, by the JSON
/// text that `map` returns for it; none, or the same text, leaves it. Passes
/// tombstones and what stays as it was; a payload that is not JSON is poison
/// `invalid-json`.
relay_outcome relay_map_json(const relay_event *event, const relay_path *path,
                             relay_str (*map)(void *context, relay_str value), void *context);
/// Replaces each value the path means by one JSON text.
relay_outcome relay_mask(const relay_event *event, const relay_path *path, const char *json);

// --- Settings ---------------------------------------------------------------
//
// Read by name; what nobody asked for is refused by name when `create` returns,
// so ask for every setting before you refuse any. The first error is kept and
// shown to the operator with the setting's name. All functions that read take
// NULL for an absent setting.

/// A value in the settings.
typedef struct relay_setting relay_setting;

/// The member of that name, JSON null included; NULL if absent.
relay_setting *relay_get(relay_setting *object, const char *name);
/// As `relay_get`; null is as absent.
relay_setting *relay_get_option(relay_setting *object, const char *name);
/// As `relay_get`; refuses where it is absent.
relay_setting *relay_need(relay_setting *object, const char *name);
/// A string, which lives as long as the transform; none if absent.
relay_str relay_text(relay_setting *setting);
/// A string, or the given one if absent.
relay_str relay_text_or(relay_setting *setting, const char *otherwise);
/// True or false; false if absent.
bool relay_bool(relay_setting *setting);
/// A path; one without steps if absent or wrong.
relay_path relay_path_of(relay_setting *setting);
/// The text of the setting's JSON, whatever it is, without white space; lives
/// as long as the transform. None if absent.
relay_str relay_raw(relay_setting *setting);
/// The first element of an array, then `relay_next`; `*count` (may be NULL) is
/// how many there are.
relay_setting *relay_elements(relay_setting *setting, size_t *count);
/// The first member of an object of any names, then `relay_next`.
relay_setting *relay_members(relay_setting *setting, size_t *count);
relay_setting *relay_next(const relay_setting *setting);
/// The name of a member; none of an element.
relay_str relay_name(const relay_setting *setting);
/// Refuses the settings; the message is preceded by where the setting stands
/// (nothing for the settings themselves).
void relay_refuse(relay_setting *setting, const char *format, ...) RELAY_PRINTF(2, 3);
/// Whether anything was refused so far.
bool relay_refused(const relay_setting *setting);

// --- The transform ----------------------------------------------------------

/// What a transform does not read, so the host need not copy it in. An input
/// named here arrives empty: a payload that was not copied looks like a
/// tombstone. Naming none is always correct, only slower.
enum { RELAY_UNUSED_PAYLOAD = 1, RELAY_UNUSED_BEFORE = 2, RELAY_UNUSED_HEADERS = 4 };

/// The functions of a transform; only `apply` is needed. What a transform
/// remembers between events is only a cache: the host may replace the instance
/// at any time.
typedef struct relay_transform {
  /// Reads the settings and makes `self`, as a rule by `relay_keep`. NULL: the
  /// transform has no settings, and `self` is NULL.
  void *(*create)(relay_setting *settings);
  /// What becomes of one event.
  relay_outcome (*apply)(void *self, const relay_event *event);
  /// Asked once, after `create`: the `RELAY_UNUSED_` flags.
  unsigned (*unused)(const void *self);
} relay_transform;

/// Defined by the transform, once.
extern const relay_transform relay_exported;

#endif
