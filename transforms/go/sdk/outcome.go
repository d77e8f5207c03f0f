package relay

import (
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// Outcome is what becomes of an event that did not fail: [Pass], [Drop],
// [Emit] or [Route].
type Outcome interface {
	outcome()
}

type (
	pass struct{}
	drop struct{ reason option[string] }
	emit struct{ messages []Message }
)

func (pass) outcome() {}
func (drop) outcome() {}
func (emit) outcome() {}

// Pass publishes the event unchanged.
var Pass Outcome = pass{}

// Drop acknowledges and publishes nothing. The reason becomes a metric label,
// so it must be one of a few.
func Drop(reason string) Outcome { return drop{some(reason)} }

// DropQuietly is [Drop] without a reason.
func DropQuietly() Outcome { return drop{} }

// DropIf drops with that reason if the condition holds, and passes otherwise.
// For the return of Apply.
func DropIf(condition bool, reason string) (Outcome, error) {
	if condition {
		return Drop(reason), nil
	}
	return Pass, nil
}

// Emit publishes the messages in this order; none at all drops the event.
func Emit(messages ...Message) Outcome { return emit{messages} }

// Route publishes the event as it is to another topic.
func Route(topic string) Outcome { return Emit(Message{}.WithTopic(topic)) }

type option[T any] struct {
	some  bool
	value T
}

func some[T any](value T) option[T] { return option[T]{true, value} }

// Message is a message to publish, written as changes to the event it came
// from: what is not set stays as in the event, and costs no copy.
type Message struct {
	id, eventType, topic option[string]
	partition            option[uint32]
	key, payload         option[[]byte]
	remove               []string
	append               []Header
}

// WithID sets the id. Unset: the event's id; in a list of several, that id, `:`
// and the index.
func (m Message) WithID(id string) Message {
	m.id = some(id)
	return m
}

// WithEventType sets what the next transform sees as the event's type.
func (m Message) WithEventType(eventType string) Message {
	m.eventType = some(eventType)
	return m
}

// WithTopic sets the topic, which the config must allow.
func (m Message) WithTopic(topic string) Message {
	m.topic = some(topic)
	return m
}

// WithPartition sets the partition. Unset: by key.
func (m Message) WithPartition(partition uint32) Message {
	m.partition = some(partition)
	return m
}

// WithKey sets the key; nil is a null key. Order holds per source key; a new
// key brings no order of its own.
func (m Message) WithKey(key []byte) Message {
	m.key = some(key)
	return m
}

// WithPayload sets the payload; nil is a tombstone.
func (m Message) WithPayload(payload []byte) Message {
	m.payload = some(payload)
	return m
}

// WithText sets the payload to a text, which is not copied.
func (m Message) WithText(payload string) Message {
	m.payload = some(bytesOf(payload))
	return m
}

// bytesOf is the text without a copy; nobody writes to it.
func bytesOf(text string) []byte {
	if text == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(text), len(text))
}

// WithHeader appends a header. Names that begin with `relay-` are the host's.
func (m Message) WithHeader(name string, value []byte) Message {
	m.append = append(m.append[:len(m.append):len(m.append)], Header{name, value})
	return m
}

// WithoutHeader removes every header of that name that the event has, before
// any is appended.
func (m Message) WithoutHeader(name string) Message {
	m.remove = append(m.remove[:len(m.remove):len(m.remove)], name)
	return m
}

// Failure is why an event has no outcome; an error for Apply to return.
type Failure struct {
	// Halt: the transform itself is unusable, stop and alert. Otherwise this
	// event can never succeed; the config says what becomes of it.
	Halt bool
	// Code is a metric label: one of a few, never made from data.
	Code string
	// Detail goes to the dead letter.
	Detail string
}

func (f *Failure) Error() string { return f.Code + ": " + f.Detail }

// exception is the code of what a transform did not foresee, in every language.
const exception = "exception"

// Poison is a failure of this event, with a detail made by fmt.Sprintf.
func Poison(code, format string, args ...any) error {
	return &Failure{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Halt is a failure of the transform itself.
func Halt(code, format string, args ...any) error {
	return &Failure{Halt: true, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// check is whether the host will take the outcome: it traps at text that is not
// UTF-8, without saying where.
func check(o Outcome) error {
	switch o := o.(type) {
	case nil:
		return errors.New("Apply returned neither an outcome nor an error: return relay.Pass to publish unchanged")
	case drop:
		return text("reason", o.reason.value)
	case emit:
		for i := range o.messages {
			if err := o.messages[i].check(); err != nil {
				return fmt.Errorf("message %d: %w", i, err)
			}
		}
	}
	return nil
}

func (m *Message) check() error {
	err := errors.Join(text("id", m.id.value), text("event type", m.eventType.value), text("topic", m.topic.value))
	for _, name := range m.remove {
		err = errors.Join(err, text("name of a removed header", name))
	}
	for _, header := range m.append {
		err = errors.Join(err, text("name of a header", header.Name))
	}
	return err
}

func text(field, value string) error {
	if utf8.ValidString(value) {
		return nil
	}
	return fmt.Errorf("the %s that Apply returned is not UTF-8: %q", field, value)
}
