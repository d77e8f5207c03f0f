// Shared by the SDK's own files; a transform includes only relay.h.
#ifndef RELAY_INTERNAL_H
#define RELAY_INTERNAL_H

#include "relay.h"

/// Memory that is given back all at once.
typedef struct relay_arena {
  /// Blocks that small pieces are cut from, the one in use first.
  struct relay_block *blocks;
  /// Pieces with a block of their own.
  struct relay_block *large;
} relay_arena;

/// The arena of the call that is being answered, and that of the transform.
extern relay_arena relay_call, *relay_kept;

/// Not zeroed, aligned for anything. Traps when there is no memory.
void *relay_arena_take(relay_arena *arena, size_t size);
/// Like `realloc`, for a piece of the same arena.
void *relay_arena_resize(relay_arena *arena, void *old, size_t old_size, size_t size);
/// Gives everything back but one block, which the next call fills again.
void relay_arena_reset(relay_arena *arena);
/// Gives everything back.
void relay_arena_free(relay_arena *arena);

/// The settings as the host gave them, in the memory of the call.
relay_setting *relay_settings_read(relay_str text);
/// Why the settings are refused, an unknown one first; none if they are not.
relay_str relay_settings_verdict(relay_setting *settings);

/// Writes one line; where from is not the SDK's business.
void relay_host_log(relay_level level, relay_str line);

#endif
