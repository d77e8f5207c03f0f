// Chooses a topic by event type, entity, header or payload field; settings and
// behaviour are those of ../../rust/route/README.md.
package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"relay"
)

const (
	// Where in a template the value goes.
	placeholder = "{value}"
	// Kafka's own limit on the length of a topic name.
	topicMax = 249
)

// Route has the settings as its fields.
type Route struct {
	By By `setting:"by,required"`
	// Topics of known values.
	Routes map[string]topic `setting:"routes"`
	// Topic of every other value, with `{value}` in it.
	Template *string `setting:"template"`
	// Topic of all that has no value, or none known. Absent: as in the event.
	Default *topic `setting:"default"`
}

// By is what the value is that picks the topic.
type By struct {
	kind   string
	header string
	field  relay.Path
}

// UnmarshalText reads the setting.
func (b *By) UnmarshalText(text []byte) (err error) {
	kind, rest, colon := strings.Cut(string(text), ":")
	b.kind = kind
	switch {
	case !colon && (kind == "event-type" || kind == "entity"):
		return nil
	case kind == "header" && rest != "":
		b.header = rest
		return nil
	case kind == "field" && colon:
		if b.field, err = relay.ParsePath(rest); err != nil {
			return fmt.Errorf("`%s`: %w", rest, err)
		}
		if b.field.Plural() {
			return fmt.Errorf("`%s`: a topic needs one value, `[]` gives several", rest)
		}
		return nil
	}
	return fmt.Errorf("`%s` is none of `event-type`, `entity`, `header:<name>`, `field:<path>`", text)
}

// topic is a name that Kafka allows.
type topic string

func (t *topic) UnmarshalText(text []byte) error {
	if *t = topic(text); !t.valid() {
		return fmt.Errorf("`%s` is not a name that Kafka allows for a topic", text)
	}
	return nil
}

func (t topic) valid() bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return t != "" && len(t) <= topicMax && t != "." && t != ".." && strings.Trim(string(t), allowed) == ""
}

// Init checks what the fields' types do not.
func (r *Route) Init() error {
	if r.Template != nil && !strings.Contains(*r.Template, placeholder) {
		return errors.New("`template` has no `{value}`: use `default` for a fixed topic")
	}
	if len(r.Routes) == 0 && r.Template == nil && r.Default == nil {
		return errors.New("one of `routes`, `template`, `default` is needed")
	}
	return nil
}

// Unused names what `by` does not need.
func (r *Route) Unused() relay.Unused {
	return relay.Unused{Payload: r.By.kind != "field", Before: true, Headers: r.By.kind != "header"}
}

// Apply chooses the topic of one event.
func (r *Route) Apply(e *relay.Event) (relay.Outcome, error) {
	value, found, err := r.value(e)
	if err != nil {
		return nil, err
	}
	chosen, known := r.Routes[value]
	switch {
	case found && known:
	case found && r.Template != nil:
		chosen = topic(strings.ReplaceAll(*r.Template, placeholder, value))
		if !chosen.valid() {
			return nil, relay.Poison("invalid-topic", "`%s` is not a name that Kafka allows for a topic", string(chosen))
		}
	case r.Default != nil:
		chosen = *r.Default
	default:
		return relay.Pass, nil
	}
	if string(chosen) == e.Topic {
		return relay.Pass, nil
	}
	return relay.Route(string(chosen)), nil
}

func (r *Route) value(e *relay.Event) (value string, found bool, err error) {
	switch r.By.kind {
	case "event-type":
		return e.EventType, true, nil
	case "entity":
		return e.Entity, true, nil
	case "header":
		header := e.Header(r.By.header)
		return string(header), header != nil && utf8.Valid(header), nil
	}
	if e.Payload == nil {
		return "", false, nil
	}
	text, err := e.Text()
	if err != nil {
		return "", false, err
	}
	json, err := r.By.field.Find(text)
	value, found = relay.ScalarText(json)
	return value, found, err
}

func init() { relay.Register(Route{}) }

func main() {}
