// Package relay is the SDK for relay transforms in Go.
//
// A transform is a struct: its fields are the settings, its method Apply says
// what becomes of an event. One line registers it:
//
//	type OnlyEntity struct {
//		Entity string `setting:"entity"`
//	}
//
//	func (o *OnlyEntity) Apply(e *relay.Event) (relay.Outcome, error) {
//		return relay.DropIf(e.Entity != o.Entity, "other-entity")
//	}
//
//	func init() { relay.Register(OnlyEntity{Entity: "order"}) }
//	func main() {}
//
// There is no clock, no randomness and no I/O; the same event must give the
// same outcome. What a transform remembers between events is only a cache: the
// host may replace the instance at any time. What is kept of an event must be
// cloned ([strings.Clone]), or it keeps the memory of a whole batch alive.
//
// The package also compiles natively, so that `go test` runs a transform:
// [Create] makes one, and Apply is a plain call.
package relay

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"unicode/utf8"
	"unsafe"
)

// Transform says what becomes of one event.
//
// A [Failure] fails the event as it says, an [Invalid] is poison
// `invalid-json`; any other error, and a panic, is poison `exception` with its
// text (and stack). The other events of the batch are unharmed.
type Transform interface {
	Apply(*Event) (Outcome, error)
}

// Initializer is a transform that has more to check or to make of its settings.
// The error refuses them and is shown to the operator, so it should name the
// setting.
type Initializer interface {
	Init() error
}

// Reader is a transform that names what it does not read, so the host need not
// copy it in. Asked once, after Init.
type Reader interface {
	Unused() Unused
}

// Unused is what a transform does not read. An input named here arrives empty:
// a payload that was not copied looks like a tombstone. The zero value is
// always correct, only slower.
type Unused struct {
	Payload, Before, Headers bool
}

// Operation is what happened in the source, by the name that the contract and
// the config use.
type Operation string

// The operations.
const (
	OpInsert   Operation = "insert"
	OpUpdate   Operation = "update"
	OpDelete   Operation = "delete"
	OpTruncate Operation = "truncate"
	OpSnapshot Operation = "snapshot"
	OpMessage  Operation = "message"
)

// operations are in the contract's order.
var operations = [...]Operation{OpInsert, OpUpdate, OpDelete, OpTruncate, OpSnapshot, OpMessage}

// UnmarshalText reads an operation in the settings.
func (o *Operation) UnmarshalText(text []byte) error {
	if *o = Operation(text); !slices.Contains(operations[:], *o) {
		return fmt.Errorf("`%s` is none of `insert`, `update`, `delete`, `truncate`, `snapshot`, `message`", text)
	}
	return nil
}

// Position is the place of an event in its source; events made from one event
// share it. Compared field by field it grows for any one key whose writers
// serialise.
type Position struct {
	Commit, Index uint64
}

// Header is one record header. Names may repeat and values are raw bytes; a
// value of nil is Kafka's null.
type Header struct {
	Name  string
	Value []byte
}

// Event is one event, read only.
type Event struct {
	// ID is stable across redelivery and unique in the pipeline: the
	// idempotency key.
	ID       string
	Position Position
	// Time is when it happened (outbox) or was committed (CDC), in microseconds
	// since the Unix epoch. A transform has no other clock.
	Time      int64
	Operation Operation
	// Entity is the aggregate type (outbox), `schema.table` (CDC), or the
	// prefix of a logical message.
	Entity string
	// EventType is the outbox's event type; otherwise the operation's name. A
	// transform before this one may have changed it.
	EventType string
	// Topic is where it is published if no transform chooses.
	Topic string
	// Key orders events and picks the partition; nil is none.
	Key []byte
	// Payload is nil for a tombstone, or if the transform declared it unused.
	Payload []byte
	// Before is the row before the change (CDC), where known.
	Before []byte
	// Unchanged has the columns that did not change and were not sent (CDC);
	// the payload lacks them.
	Unchanged []string
	Headers   []Header
}

// Text is the payload as text, which is not copied. Poison `invalid-json` if it
// is not UTF-8.
func (e *Event) Text() (string, error) {
	text := unsafe.String(unsafe.SliceData(e.Payload), len(e.Payload))
	if !utf8.ValidString(text) {
		return "", &Invalid{At: validUpTo(text), Expected: "UTF-8"}
	}
	return text, nil
}

func validUpTo(text string) int {
	for at, r := range text {
		if _, size := utf8.DecodeRuneInString(text[at:]); r == utf8.RuneError && size == 1 {
			return at
		}
	}
	return len(text)
}

// Header is the last header of that name that has a value, or nil.
func (e *Event) Header(name string) []byte {
	for i := len(e.Headers) - 1; i >= 0; i-- {
		if header := e.Headers[i]; header.Name == name && header.Value != nil {
			return header.Value
		}
	}
	return nil
}

// made is what the component makes from the text of its settings.
var made func(settings string) (Transform, error)

// Register makes T the component's transform, with these defaults for its
// settings. Once, from an init function.
func Register[T any, P interface {
	*T
	Transform
}](defaults T) {
	if made != nil {
		panic("relay.Register: a component has one transform")
	}
	made = func(settings string) (Transform, error) { return create[T, P](settings, defaults) }
}

// Create makes the registered transform from the text of its settings, as the
// host does. For tests.
func Create(settings string) (Transform, error) {
	if made == nil {
		return nil, errors.New("no transform is registered: call relay.Register in an init function")
	}
	return made(settings)
}

func create[T any, P interface {
	*T
	Transform
}](settings string, defaults T) (Transform, error) {
	transform := P(&defaults)
	if err := ReadSettings(settings, transform); err != nil {
		return nil, err
	}
	if init, ok := any(transform).(Initializer); ok {
		if err := init.Init(); err != nil {
			return nil, err
		}
	}
	return transform, nil
}

// createSafely is Create with panics made errors.
func createSafely(settings string) (transform Transform, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			transform, err = nil, fmt.Errorf("panic: %v\n\n%s", panicked, debug.Stack())
		}
	}()
	return Create(settings)
}

// apply is one event with everything that can go wrong made a failure.
func apply(transform Transform, event *Event) (outcome Outcome, failure *Failure) {
	defer func() {
		if panicked := recover(); panicked != nil {
			outcome, failure = nil, &Failure{Code: exception, Detail: fmt.Sprintf("panic: %v\n\n%s", panicked, debug.Stack())}
		}
	}()
	outcome, err := transform.Apply(event)
	if err == nil {
		err = check(outcome)
	}
	if err == nil {
		return outcome, nil
	}
	var invalid *Invalid
	switch {
	case errors.As(err, &failure) && failure != nil: // a nil one would pass the event
		return nil, failure
	case errors.As(err, &invalid):
		return nil, &Failure{Code: InvalidJSON, Detail: "payload: " + err.Error()}
	default:
		return nil, &Failure{Code: exception, Detail: err.Error()}
	}
}
