package relay

import (
	"fmt"
	"iter"
)

// InvalidJSON is the failure code of a payload that is not JSON.
const InvalidJSON = "invalid-json"

// Invalid is a text that is not JSON (RFC 8259), and where.
type Invalid struct {
	At       int
	Expected string
}

func (i *Invalid) Error() string { return fmt.Sprintf("expected %s at byte %d", i.Expected, i.At) }

// Kind is what a JSON value is, judged by its first byte.
type Kind int

// The kinds of values. A scalar is a string, a number, true, false or null.
const (
	Scalar Kind = iota
	ObjectKind
	ArrayKind
)

// Key is the key of an object's member.
type Key struct {
	// Name has its escapes decoded, so that `"em\u0061il"` is `email`. A key
	// that has no UTF-8 form (a lone surrogate) is left as written.
	Name string
	// Start and End are where it stands, quotes included.
	Start, End int
}

// Cursor reads JSON text from its start to its end, once, and checks all of it.
// The text must be UTF-8, as [Event.Text] gives it.
//
// The first error stays: every later call does nothing, so it is enough to look
// at [Cursor.End]. Depth is not limited and costs no recursion; values nobody
// looks into are skipped in a loop.
type Cursor struct {
	text string
	at   int
	err  *Invalid
}

// NewCursor starts at the beginning of the text.
func NewCursor(text string) *Cursor { return &Cursor{text: text} }

// Position is the offset just behind what was read.
func (c *Cursor) Position() int { return c.at }

// Kind is what the next value is; it is not consumed.
func (c *Cursor) Kind() Kind {
	if c.err == nil {
		c.blank()
	}
	switch c.peek() {
	case '{':
		return ObjectKind
	case '[':
		return ArrayKind
	}
	return Scalar
}

// Value reads past one value of any kind and returns its text, which ends at
// [Cursor.Position]; empty at an error.
func (c *Cursor) Value() string {
	if c.err != nil {
		return ""
	}
	c.blank()
	start := c.at
	if !c.scan() {
		return ""
	}
	return c.text[start:c.at]
}

// Members reads an object: each turn must read exactly the member's value.
func (c *Cursor) Members() iter.Seq[Key] {
	return func(yield func(Key) bool) {
		for more := c.enter('{', '}', "`{`"); more; more = c.next('}', "`,` or `}`") {
			key, ok := c.key()
			if !ok || !yield(key) {
				return
			}
		}
	}
}

// Elements reads an array: each turn must read exactly one value.
func (c *Cursor) Elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		index := 0
		for more := c.enter('[', ']', "`[`"); more; more = c.next(']', "`,` or `]`") {
			if !yield(index) {
				return
			}
			index++
		}
	}
}

// Err is the first error, an [*Invalid] or nil.
func (c *Cursor) Err() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

// End checks that nothing but white space is left, and that there was no error.
func (c *Cursor) End() error {
	if c.err == nil {
		if c.blank(); c.at != len(c.text) {
			c.expected("the end")
		}
	}
	return c.Err()
}

func (c *Cursor) enter(open, end byte, what string) bool {
	if c.err != nil {
		return false
	}
	c.blank()
	if !c.take(open, what) {
		return false
	}
	c.blank()
	return !c.took(end)
}

func (c *Cursor) next(end byte, what string) bool {
	if c.err != nil {
		return false
	}
	c.blank()
	if c.took(end) || !c.take(',', what) {
		return false
	}
	c.blank()
	return true
}

func (c *Cursor) key() (key Key, ok bool) {
	key.Start = c.at
	escaped, ok := c.string()
	if !ok {
		return key, false
	}
	key.End = c.at
	key.Name = c.text[key.Start+1 : key.End-1]
	if escaped {
		if name, ok := Decode(c.text[key.Start:key.End]); ok {
			key.Name = name
		}
	}
	c.blank()
	return key, c.take(':', "`:`")
}
