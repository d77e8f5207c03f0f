// Text and memory.
#include "internal.h"

#include <stdlib.h>

enum {
  // A batch has hundreds of strings; this is a few batches' worth.
  BLOCK = 64 << 10,
  LARGE = BLOCK / 4,
  ALIGN = 16,
};

struct relay_block {
  struct relay_block *next, *previous;
  size_t size, used;
  _Alignas(ALIGN) char bytes[];
};

relay_arena relay_call, *relay_kept;

/// A function of its own, so that the trap's backtrace tells the cause.
static _Noreturn __attribute__((noinline)) void out_of_memory(void) { __builtin_trap(); }

static struct relay_block *block_of(struct relay_block *old, size_t size) {
  if (size > SIZE_MAX - sizeof *old) out_of_memory();
  struct relay_block *block = realloc(old, sizeof *block + size);
  if (block == NULL) out_of_memory();
  block->size = size;
  return block;
}

static void link_large(relay_arena *arena, struct relay_block *block) {
  block->previous = NULL;
  block->next = arena->large;
  if (block->next != NULL) block->next->previous = block;
  arena->large = block;
}

static void unlink_large(relay_arena *arena, struct relay_block *block) {
  if (block->next != NULL) block->next->previous = block->previous;
  *(block->previous != NULL ? &block->previous->next : &arena->large) = block->next;
}

static size_t rounded(size_t size) {
  if (size > SIZE_MAX - ALIGN) out_of_memory();
  return (size + ALIGN - 1) / ALIGN * ALIGN;
}

void *relay_arena_take(relay_arena *arena, size_t size) {
  size = rounded(size);
  if (size >= LARGE) {
    struct relay_block *block = block_of(NULL, size);
    link_large(arena, block);
    return block->bytes;
  }
  struct relay_block *block = arena->blocks;
  if (block == NULL || size > block->size - block->used) {
    block = block_of(NULL, BLOCK);
    block->used = 0;
    block->next = arena->blocks;
    arena->blocks = block;
  }
  void *piece = block->bytes + block->used;
  block->used += size;
  return piece;
}

void *relay_arena_resize(relay_arena *arena, void *old, size_t old_size, size_t size) {
  if (old == NULL) return relay_arena_take(arena, size);
  size_t had = rounded(old_size), wanted = rounded(size);
  if (wanted <= had) return old;
  if (had >= LARGE) {
    struct relay_block *block = (struct relay_block *)((char *)old - offsetof(struct relay_block, bytes));
    unlink_large(arena, block);
    block = block_of(block, wanted);
    link_large(arena, block);
    return block->bytes;
  }
  // What was taken last grows where it is.
  struct relay_block *block = arena->blocks;
  char *end = block->bytes + block->used;
  if (wanted < LARGE && (char *)old + had == end && wanted - had <= block->size - block->used) {
    block->used += wanted - had;
    return old;
  }
  return memcpy(relay_arena_take(arena, size), old, old_size);
}

static void free_all(struct relay_block *block) {
  while (block != NULL) {
    struct relay_block *next = block->next;
    free(block);
    block = next;
  }
}

void relay_arena_reset(relay_arena *arena) {
  free_all(arena->large);
  arena->large = NULL;
  if (arena->blocks == NULL) return;
  free_all(arena->blocks->next);
  arena->blocks->next = NULL;
  arena->blocks->used = 0;
}

void relay_arena_free(relay_arena *arena) {
  free_all(arena->large);
  free_all(arena->blocks);
  *arena = (relay_arena){0};
}

static void *zeroed(relay_arena *arena, size_t count, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) out_of_memory();
  return memset(relay_arena_take(arena, total), 0, total);
}

void *relay_alloc(size_t count, size_t size) { return zeroed(&relay_call, count, size); }

void *relay_keep(size_t count, size_t size) { return zeroed(relay_kept, count, size); }

relay_str relay_keep_str(relay_str s) {
  if (s.ptr == NULL) return s;
  char *copy = relay_arena_take(relay_kept, s.len);
  if (s.len > 0) memcpy(copy, s.ptr, s.len);
  return (relay_str){copy, s.len};
}

static void add_number(relay_buf *out, bool negative, unsigned long long n, unsigned base, int width) {
  char digits[24];
  int at = sizeof digits;
  do digits[--at] = "0123456789abcdef"[n % base];
  while ((n /= base) > 0);
  while (at > (int)sizeof digits - width && at > 1) digits[--at] = '0';
  if (negative) digits[--at] = '-';
  relay_buf_add(out, (relay_str){digits + at, sizeof digits - (size_t)at});
}

static long long signed_arg(va_list *args, char size) {
  if (size == 'L') return va_arg(*args, long long);
  return size == 'l' || size == 'z' ? va_arg(*args, long) : va_arg(*args, int);
}

static unsigned long long unsigned_arg(va_list *args, char size) {
  if (size == 'L') return va_arg(*args, unsigned long long);
  return size == 'l' || size == 'z' ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
}

// Written out because `vsnprintf` links all of stdio, which asks for WASI.
relay_str relay_vformat(const char *format, va_list list) {
  relay_buf out = {0};
  va_list args;
  va_copy(args, list);
  for (const char *s = format; *s != '\0';) {
    size_t plain = strcspn(s, "%");
    relay_buf_add(&out, (relay_str){s, plain});
    s += plain;
    if (*s == '\0') break;
    const char *directive = s++;
    int width = 0, precision = -1;
    for (; *s >= '0' && *s <= '9'; s++) width = width * 10 + (*s - '0');
    if (s[0] == '.' && s[1] == '*') {
      precision = va_arg(args, int);
      s += 2;
    }
    char size = *s == 'l' || *s == 'z' ? *s++ : ' ';
    if (size == 'l' && *s == 'l') {
      size = 'L';
      s++;
    }
    char c = *s++;
    if (c == '%') {
      relay_buf_add(&out, RELAY_STR("%"));
    } else if (c == 'c') {
      char byte = (char)va_arg(args, int);
      relay_buf_add(&out, (relay_str){&byte, 1});
    } else if (c == 's') {
      const char *text = va_arg(args, const char *);
      if (text == NULL && precision != 0) {
        text = "(null)";
        precision = -1;
      }
      size_t len = precision < 0 ? strlen(text) : (size_t)precision;
      relay_buf_add(&out, (relay_str){text, len});
    } else if (c == 'd' || c == 'i') {
      long long n = signed_arg(&args, size);
      add_number(&out, n < 0, n < 0 ? -(unsigned long long)n : (unsigned long long)n, 10, width);
    } else if (c == 'u' || c == 'x') {
      add_number(&out, false, unsigned_arg(&args, size), c == 'x' ? 16 : 10, width);
    } else {
      // Not one of ours: the rest as it stands, rather than arguments misread.
      relay_buf_add(&out, relay_str_of(directive));
      break;
    }
  }
  va_end(args);
  // For those who want a C string.
  relay_buf_reserve(&out, 1);
  out.ptr[out.len] = '\0';
  return relay_buf_str(&out);
}

relay_str relay_format(const char *format, ...) {
  va_list args;
  va_start(args, format);
  relay_str text = relay_vformat(format, args);
  va_end(args);
  return text;
}

relay_str relay_str_of(const char *text) {
  return (relay_str){text, text == NULL ? 0 : strlen(text)};
}

bool relay_is(relay_str s, const char *text) { return relay_equal(s, relay_str_of(text)); }

bool relay_equal(relay_str a, relay_str b) {
  if (a.ptr == NULL || b.ptr == NULL) return a.ptr == b.ptr;
  return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

int relay_compare(relay_str a, relay_str b) {
  size_t len = a.len < b.len ? a.len : b.len;
  int order = len == 0 ? 0 : memcmp(a.ptr, b.ptr, len);
  return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/// How many bytes the character at the start has; 0 if it is no UTF-8.
static size_t utf8_len(const unsigned char *s, size_t left) {
  unsigned char first = s[0], low = 0x80, high = 0xbf;
  size_t len;
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) len = 2;
  else if (first < 0xf0) len = 3;
  else if (first < 0xf5) len = 4;
  else return 0;
  // No overlong forms, no surrogates, nothing above U+10FFFF.
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  if (left < len || s[1] < low || s[1] > high) return 0;
  for (size_t i = 2; i < len; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  return len;
}

bool relay_is_utf8(relay_str s, size_t *at) {
  const unsigned char *bytes = (const unsigned char *)s.ptr;
  size_t i = 0;
  while (i < s.len) {
    uint64_t word;
    while (s.len - i >= sizeof word && (memcpy(&word, bytes + i, sizeof word), word & 0x8080808080808080) == 0)
      i += sizeof word;
    if (i == s.len) break;
    size_t len = utf8_len(bytes + i, s.len - i);
    if (len == 0) {
      if (at != NULL) *at = i;
      return false;
    }
    i += len;
  }
  return true;
}

void relay_buf_reserve(relay_buf *buf, size_t more) {
  if (more <= buf->capacity - buf->len) return;
  if (more > SIZE_MAX / 2 - buf->len) out_of_memory();
  size_t capacity = buf->len + more;
  if (capacity < buf->capacity * 2) capacity = buf->capacity * 2;
  buf->ptr = relay_arena_resize(&relay_call, buf->ptr, buf->capacity, capacity);
  buf->capacity = capacity;
}

void relay_buf_add(relay_buf *buf, relay_str s) {
  if (s.len == 0) return;
  relay_buf_reserve(buf, s.len);
  memcpy(buf->ptr + buf->len, s.ptr, s.len);
  buf->len += s.len;
}

void relay_buf_add_json(relay_buf *buf, relay_str text) {
  static const char short_forms[] = "btn\0fr"; // for 8 to 13; 11 has none
  relay_buf_add(buf, RELAY_STR("\""));
  size_t copied = 0;
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    relay_buf_add(buf, (relay_str){text.ptr + copied, i - copied});
    char escape[3] = {'\\', (char)c};
    if (c < 0x20) escape[1] = c >= 8 && c <= 13 ? short_forms[c - 8] : '\0';
    if (escape[1] != '\0') relay_buf_add(buf, relay_str_of(escape));
    else relay_buf_add(buf, relay_format("\\u%04x", c));
    copied = i + 1;
  }
  relay_buf_add(buf, (relay_str){text.ptr + copied, text.len - copied});
  relay_buf_add(buf, RELAY_STR("\""));
}

relay_str relay_buf_str(const relay_buf *buf) {
  return (relay_str){buf->ptr != NULL ? buf->ptr : "", buf->len};
}
