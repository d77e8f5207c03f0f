// Compiles only if the hand-written layouts of the SDK are those that a
// bindings generator makes from the contract.
#include "../sdk/abi.c"
#include "transform.h"

#define SAME(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs), #ours)
#define AT(ours, field, theirs, member) \
  _Static_assert(offsetof(ours, field) == offsetof(theirs, member), #ours "." #field)

typedef relay_transform_types_event_t event;
typedef relay_transform_types_header_t header;
typedef relay_transform_types_message_t message;
typedef relay_transform_types_outcome_t outcome;
typedef relay_transform_types_option_content_t option_content;

SAME(relay_str, transform_string_t);
SAME(abi_option_list, transform_option_list_u8_t);
AT(abi_option_list, value, transform_option_list_u8_t, val);

SAME(abi_header, header);
AT(abi_header, value, header, value);

SAME(abi_event, event);
AT(abi_event, commit, event, position.commit);
AT(abi_event, index, event, position.index);
AT(abi_event, time, event, time);
AT(abi_event, operation, event, operation);
AT(abi_event, entity, event, entity);
AT(abi_event, event_type, event, event_type);
AT(abi_event, topic, event, topic);
AT(abi_event, key, event, key);
AT(abi_event, payload, event, payload);
AT(abi_event, before, event, before);
AT(abi_event, unchanged, event, unchanged);
AT(abi_event, headers, event, headers);

SAME(abi_content, option_content);
AT(abi_content, content.tag, option_content, val.tag);
AT(abi_content, content.value, option_content, val.val);

SAME(abi_message, message);
AT(abi_message, event_type, message, event_type);
AT(abi_message, topic, message, topic);
AT(abi_message, partition, message, partition);
AT(abi_message, partition.value, message, partition.val);
AT(abi_message, key, message, key);
AT(abi_message, payload, message, payload);
AT(abi_message, headers, message, headers);
AT(abi_message, headers.remove, message, headers.val.remove);
AT(abi_message, headers.append, message, headers.val.append);

SAME(abi_outcome, outcome);
AT(abi_outcome, value.drop, outcome, val.drop);
AT(abi_outcome, value.emit, outcome, val.emit);
AT(abi_outcome, value.fail.kind, outcome, val.fail.kind);
AT(abi_outcome, value.fail.code, outcome, val.fail.code);
AT(abi_outcome, value.fail.detail, outcome, val.fail.detail);

_Static_assert((int)OUTCOME_DROP == RELAY_TRANSFORM_TYPES_OUTCOME_DROP, "drop");
_Static_assert((int)OUTCOME_EMIT == RELAY_TRANSFORM_TYPES_OUTCOME_EMIT, "emit");
_Static_assert((int)OUTCOME_FAIL == RELAY_TRANSFORM_TYPES_OUTCOME_FAIL, "fail");
_Static_assert((int)CONTENT_NULL == RELAY_TRANSFORM_TYPES_CONTENT_NULL, "null");
_Static_assert((int)CONTENT_BYTES == RELAY_TRANSFORM_TYPES_CONTENT_BYTES, "bytes");
_Static_assert((int)RELAY_MESSAGE == RELAY_TRANSFORM_TYPES_OPERATION_MESSAGE, "operation");
_Static_assert((int)RELAY_ERROR == RELAY_TRANSFORM_HOST_LEVEL_ERROR, "level");
_Static_assert((int)RELAY_UNUSED_HEADERS == RELAY_TRANSFORM_TYPES_UNUSED_HEADERS, "unused");
