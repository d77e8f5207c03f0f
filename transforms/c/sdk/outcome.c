// Outcomes, headers and the log.
#include "internal.h"

const char *relay_operation_name(relay_operation operation) {
  static const char *const names[] = {"insert", "update", "delete", "truncate", "snapshot", "message"};
  return (size_t)operation < sizeof names / sizeof *names ? names[operation] : "";
}

relay_str relay_header_value(const relay_event *event, relay_str name) {
  for (size_t i = event->header_count; i-- > 0;) {
    const relay_header *header = &event->headers[i];
    if (header->value.ptr != NULL && relay_equal(header->name, name)) return header->value;
  }
  return (relay_str){0};
}

relay_outcome relay_pass(void) { return (relay_outcome){.kind = RELAY_PASSED}; }

relay_outcome relay_drop(const char *reason) {
  return (relay_outcome){.kind = RELAY_DROPPED, .code = relay_str_of(reason)};
}

relay_outcome relay_drop_if(bool condition, const char *reason) {
  return condition ? relay_drop(reason) : relay_pass();
}

relay_outcome relay_emit(const relay_message *messages, size_t count) {
  return (relay_outcome){.kind = RELAY_EMITTED, .messages = messages, .count = count};
}

relay_outcome relay_emit_one(relay_message message) {
  relay_message *copy = relay_alloc(1, sizeof *copy);
  *copy = message;
  return relay_emit(copy, 1);
}

relay_outcome relay_route(relay_str topic) { return relay_emit_one((relay_message){.topic = topic}); }

relay_outcome relay_emit_payload(relay_str payload) {
  return relay_emit_one((relay_message){.payload.bytes = payload});
}

relay_outcome relay_poison(const char *code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  relay_outcome outcome = {.kind = RELAY_FAILED, .code = relay_str_of(code), .detail = relay_vformat(format, args)};
  va_end(args);
  return outcome;
}

relay_outcome relay_halt(const char *code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  relay_outcome outcome = {
      .kind = RELAY_FAILED, .code = relay_str_of(code), .detail = relay_vformat(format, args), .halt = true};
  va_end(args);
  return outcome;
}

void relay_log(relay_level level, const char *format, ...) {
  va_list args;
  va_start(args, format);
  relay_str line = relay_vformat(format, args);
  va_end(args);
  // The host traps at text that is not UTF-8.
  relay_host_log(level, relay_is_utf8(line, NULL) ? line : RELAY_STR("(a log line that is not UTF-8)"));
}
