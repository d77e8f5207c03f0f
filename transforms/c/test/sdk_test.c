// Tests of the SDK in native code, where sanitizers watch its memory.
#include "../sdk/internal.h"

#include <stdio.h>
#include <stdlib.h>

static int failures;

#define CHECK(condition) \
  ((condition) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #condition)))

void relay_host_log(relay_level level, relay_str line) { printf("%d %.*s\n", level, RELAY_ARG(line)); }

/// A copy without room behind it, so that a sanitizer sees what reads too far.
static relay_str exact(const char *text, size_t len) {
  char *copy = malloc(len == 0 ? 1 : len);
  memcpy(copy, text, len);
  return (relay_str){copy, len};
}

static bool accepted(const char *text, size_t len) {
  relay_str copy = exact(text, len);
  relay_json json = relay_json_open(copy);
  relay_json_value(&json, NULL);
  bool yes = relay_json_end(&json);
  free((void *)(uintptr_t)copy.ptr);
  return yes;
}

static bool accepts(const char *text) { return accepted(text, strlen(text)); }

static void walk(relay_json *json) {
  relay_key key;
  switch (relay_json_kind(json)) {
    case RELAY_OBJECT:
      relay_json_object(json);
      while (relay_json_member(json, &key)) walk(json);
      break;
    case RELAY_ARRAY:
      relay_json_array(json);
      while (relay_json_element(json)) walk(json);
      break;
    case RELAY_SCALAR:
      relay_json_value(json, NULL);
  }
}

static void test_json(void) {
  static const char *const good[] = {"1", " -0.5e+10 ", "[]", "{\"a\":[1,{}]}", "\"\\u00e9\\/\"", "\"ü\"", "[[[]],null]"};
  static const char *const bad[] = {"", "01", "1.", "+1", "[1,]", "{\"a\":1,}", "{a:1}", "nul", "1 2", "\"\t\"", "\"\\x\"",
                                    "\"\\u12g4\"", "\"\xff\"", "\"\xed\xa0\x80\"", "[1}", "{\"a\"}", "\"", "[", "-", "\"\\"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK(accepts(good[i]));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!accepts(bad[i]));
  CHECK(!accepted("1\0", 2));

  enum { DEEP = 100000 };
  static char deep[2 * DEEP];
  memset(deep, '[', DEEP);
  memset(deep + DEEP, ']', DEEP);
  CHECK(accepted(deep, 2 * DEEP));
  CHECK(!accepted(deep, 2 * DEEP - 1));
  for (size_t i = 0; i < 300; i++) memcpy(deep + 5 * i, i % 3 == 0 ? "[[[[[" : "{\"\": ", 5);
  CHECK(!accepted(deep, 1500));
}

/// `value` and a walk by `member` and `element` agree on texts gone wrong.
static void test_mutations(void) {
  static const char seed[] = " { \"a\" : [ 1 , -2.50e+10 , true , null , \"x\\u00e9\\n\" ] , \"b\" : { } } ";
  static const char signs[] = "{}[]\":,\\/ue+-.0129 \n\ttrfalsn\x01\xc3\xa9";
  uint64_t state = 1;
  int valid = 0;
  for (int round = 0; round < 50000; round++) {
    char text[sizeof seed];
    memcpy(text, seed, sizeof seed);
    for (int n = 0; n < 1 + round % 3; n++) {
      state = state * 6364136223846793005 + 1;
      text[(state >> 33) % (sizeof seed - 1)] = signs[(state >> 50) % (sizeof signs - 1)];
    }
    bool expected = accepts(text);
    relay_json json = relay_json_open(relay_str_of(text));
    if (json.expected == NULL) walk(&json);
    CHECK(relay_json_end(&json) == expected);
    valid += expected;
    relay_arena_reset(&relay_call);
  }
  CHECK(valid > 1000);
}

static void test_strings(void) {
  CHECK(relay_is(relay_json_decode(RELAY_STR("\"\\ud83d\\ude00\\t\\u00FC\"")), "\xf0\x9f\x98\x80\t\xc3\xbc"));
  CHECK(relay_json_decode(RELAY_STR("\"\\ud83d\"")).ptr == NULL);
  CHECK(relay_json_decode(RELAY_STR("\"\\udc00\"")).ptr == NULL);
  static const char *const none[] = {"12", "\"", "\"\\\"", "\"\\u1\"", "\"\\ud83d\\u1\"", "\"\\uzzzz\"", "\"a\"b\"", "\"\n\""};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    relay_str copy = exact(none[i], strlen(none[i]));
    CHECK(relay_json_decode(copy).ptr == NULL);
    free((void *)(uintptr_t)copy.ptr);
  }
  CHECK(relay_is(relay_json_scalar(RELAY_STR("1.10")), "1.10"));
  CHECK(relay_json_scalar(RELAY_STR("null")).ptr == NULL);
  relay_buf buf = {0};
  relay_buf_add_json(&buf, RELAY_STR("\"\\\b\t\n\v\f\r\x01ü"));
  CHECK(relay_is(relay_buf_str(&buf), "\"\\\"\\\\\\b\\t\\n\\u000b\\f\\r\\u0001ü\""));
  CHECK(relay_is(relay_format("%s %.*s %d %04x %zu%% %lld%c", "a", 2, "bcd", -5, 0x1f, (size_t)7, -1LL, '!'),
                 "a bc -5 001f 7% -1!"));
  char *volatile null = NULL;
  CHECK(relay_is(relay_format("%.*s%.*s", 0, null, 99, null), "(null)"));
  size_t at;
  CHECK(!relay_is_utf8(RELAY_STR("0123456789\xc3"), &at) && at == 10);
}

static void test_paths(void) {
  static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "a[", "a[0]", "a[]b", "a.[]", "a\\", "[]."};
  const char *why;
  relay_path path;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!relay_path_parse(relay_str_of(bad[i]), &path, &why));
  CHECK(relay_path_parse(RELAY_STR("[].a\\.b\\[.\\ü"), &path, &why) && path.count == 3);
  CHECK(path.steps[0].ptr == NULL && relay_is(path.steps[1], "a.b[") && relay_is(path.steps[2], "ü"));

  relay_outcome failed;
  relay_str found;
  CHECK(relay_path_parse(RELAY_STR("a.b"), &path, &why) && !relay_path_is_plural(&path));
  CHECK(relay_find(&path, RELAY_STR("{\"a\":{\"b\":1},\"\\u0061\":{\"b\": 2.0 }}"), &found, &failed) && relay_is(found, "2.0"));
  CHECK(relay_find(&path, RELAY_STR("{\"a\":{\"b\":1},\"a\":3}"), &found, &failed) && found.ptr == NULL);
  CHECK(!relay_find(&path, RELAY_STR("{\"a\":{\"b\":1}} x"), &found, &failed) && relay_is(failed.code, "invalid-json"));
  path = (relay_path){0};
  CHECK(relay_find(&path, RELAY_STR(" 1 "), &found, &failed) && relay_is(found, "1"));
  CHECK(!relay_find(&path, RELAY_STR("1 x"), &found, &failed) && relay_is(failed.code, "invalid-json"));
}

static relay_str masked(const char *path_text, relay_event event) {
  relay_path path;
  const char *why;
  CHECK(relay_path_parse(relay_str_of(path_text), &path, &why));
  relay_outcome outcome = relay_mask(&event, &path, "0");
  if (outcome.kind == RELAY_FAILED) return outcome.code;
  return outcome.kind == RELAY_EMITTED ? outcome.messages[0].payload.bytes : RELAY_STR("passed");
}

static void test_helpers(void) {
#define PAYLOAD(text) (relay_event){.payload = RELAY_STR(text)}
  CHECK(relay_is(masked("a", PAYLOAD(" {\"a\" : [1], \"b\":1.10,\"a\":2}")), " {\"a\" : 0, \"b\":1.10,\"a\":0}"));
  CHECK(relay_is(masked("l[].a", PAYLOAD("{\"l\":[{\"a\":1},3,{\"a\":0}]}")), "{\"l\":[{\"a\":0},3,{\"a\":0}]}"));
  CHECK(relay_is(masked("a", PAYLOAD("{\"b\":1}")), "passed"));
  CHECK(relay_is(masked("a", (relay_event){0}), "passed"));
  CHECK(relay_is(masked("a", PAYLOAD("{\"a\":1")), "invalid-json"));
  CHECK(relay_is(relay_route(RELAY_STR("t")).messages[0].topic, "t"));
  CHECK(relay_drop_if(true, "r").kind == RELAY_DROPPED && relay_drop_if(false, "r").kind == RELAY_PASSED);
  relay_header headers[] = {{RELAY_STR("h"), RELAY_STR("1")}, {RELAY_STR("h"), {0}}};
  relay_event event = {.headers = headers, .header_count = 2};
  CHECK(relay_is(relay_header_value(&event, RELAY_STR("h")), "1"));
}

static relay_setting *settings;

static bool refused(const char *text) { return strstr(relay_settings_verdict(settings).ptr, text) != NULL; }

static void test_settings(void) {
  settings = relay_settings_read(RELAY_STR(" "));
  CHECK(relay_get(settings, "a") == NULL && relay_settings_verdict(settings).ptr == NULL);
  settings = relay_settings_read(RELAY_STR("[]"));
  CHECK(refused("not an object"));

  static const char text[] = "{\"s\":\"\\u0061\",\"l\":[\"x\",1],\"m\":{ \"k\": [ \"\\u000b\" ] },\"s\":\"b\",\"n\":null,\"y\":true}";
  settings = relay_settings_read(relay_str_of(text));
  CHECK(relay_is(relay_text(relay_get(settings, "s")), "b"));
  CHECK(relay_is(relay_raw(relay_get(settings, "m")), "{\"k\":[\"\\u000b\"]}"));
  CHECK(relay_get_option(settings, "n") == NULL && relay_bool(relay_get(settings, "y")));
  size_t count;
  relay_setting *each = relay_elements(relay_get(settings, "l"), &count);
  CHECK(count == 2 && relay_is(relay_text(each), "x"));
  CHECK(relay_settings_verdict(settings).ptr == NULL);
  CHECK(relay_text(relay_next(each)).ptr == NULL && refused("l[1]: expected a string, found `1`"));

  settings = relay_settings_read(RELAY_STR("{\"maks\":1,\"list\":[{\"x\":1}]}"));
  relay_need(settings, "mask");
  CHECK(refused("unknown setting `maks`, expected `mask`"));
  settings = relay_settings_read(RELAY_STR("{\"list\":[{\"x\":1}]}"));
  relay_get(relay_elements(relay_get(settings, "list"), NULL), "y");
  CHECK(refused("list[0]: unknown setting `x`"));
}

int main(void) {
  relay_arena kept = {0};
  relay_kept = &kept;
  test_json();
  test_mutations();
  test_strings();
  test_paths();
  test_helpers();
  test_settings();
  relay_arena_free(&relay_call);
  relay_arena_free(&kept);
  printf("%d failures\n", failures);
  return failures > 0;
}
