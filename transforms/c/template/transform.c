// Masks one member of a JSON payload, and drops test events.
#include "relay.h"

struct settings {
  relay_path mask, test;
};

static void *create(relay_setting *settings) {
  struct settings *self = relay_keep(1, sizeof *self);
  self->mask = relay_path_name(relay_text_or(relay_get(settings, "mask"), "email"));
  self->test = relay_path_name(RELAY_STR("test"));
  return self;
}

static relay_outcome apply(void *context, const relay_event *event) {
  const struct settings *self = context;
  if (relay_is(relay_field(event, &self->test), "true")) return relay_drop("test");
  return relay_mask(event, &self->mask, "\"***\"");
}

const relay_transform relay_exported = {.create = create, .apply = apply};
