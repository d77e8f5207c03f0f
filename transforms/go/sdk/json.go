package relay

import (
	"fmt"
	"iter"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
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
	c.blank()
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

// peek is the next byte; NUL, which JSON allows nowhere, at the end.
func (c *Cursor) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

func (c *Cursor) expected(what string) bool {
	if c.err == nil {
		c.err = &Invalid{At: c.at, Expected: what}
	}
	return false
}

func (c *Cursor) took(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.at++
	return true
}

func (c *Cursor) take(b byte, what string) bool { return c.took(b) || c.expected(what) }

func (c *Cursor) blank() {
	for {
		switch c.peek() {
		case ' ', '\n', '\r', '\t':
			c.at++
		default:
			return
		}
	}
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

// member reads a name and a colon that nobody looks at.
func (c *Cursor) member() bool {
	if _, ok := c.string(); !ok {
		return false
	}
	c.blank()
	if !c.take(':', "`:`") {
		return false
	}
	c.blank()
	return true
}

// scan reads past one value.
func (c *Cursor) scan() bool {
	var open nesting
	for {
		switch b := c.peek(); {
		case b == '{':
			c.at++
			if c.blank(); !c.took('}') {
				if !c.member() {
					return false
				}
				open.push(true)
				continue
			}
		case b == '[':
			c.at++
			if c.blank(); !c.took(']') {
				open.push(false)
				continue
			}
		case b == '"':
			if _, ok := c.string(); !ok {
				return false
			}
		case b == '-' || isDigit(b):
			if !c.number() {
				return false
			}
		case b == 't' && c.literal("true") || b == 'f' && c.literal("false") || b == 'n' && c.literal("null"):
		default:
			return c.expected("a value")
		}
		for {
			if open.depth == 0 {
				return true
			}
			object := open.word&1 == 1
			c.blank()
			if c.took(',') {
				c.blank()
				if object && !c.member() {
					return false
				}
				break
			}
			if object && !c.take('}', "`,` or `}`") || !object && !c.take(']', "`,` or `]`") {
				return false
			}
			open.pop()
		}
	}
}

func (c *Cursor) literal(name string) bool {
	if !strings.HasPrefix(c.text[c.at:], name) {
		return c.expected(name)
	}
	c.at += len(name)
	return true
}

func (c *Cursor) string() (escaped, ok bool) {
	if !c.take('"', "a string") {
		return false, false
	}
	for {
		for c.at < len(c.text) && !special[c.text[c.at]] {
			c.at++
		}
		if c.took('"') {
			return escaped, true
		}
		if !c.take('\\', "the end of a string, or an escaped control character") {
			return escaped, false
		}
		escaped = true
		switch c.peek() {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			c.at++
		case 'u':
			c.at++
			for range 4 {
				if !isHex(c.peek()) {
					return escaped, c.expected("a hex digit")
				}
				c.at++
			}
		default:
			return escaped, c.expected("an escape")
		}
	}
}

// special are the bytes at which a string needs a look.
var special = func() (special [256]bool) {
	for b := range 0x20 {
		special[b] = true
	}
	special['"'], special['\\'] = true, true
	return special
}()

func (c *Cursor) number() bool {
	c.took('-')
	if !c.took('0') && !c.digits() {
		return false
	}
	if c.took('.') && !c.digits() {
		return false
	}
	if c.took('e') || c.took('E') {
		if !c.took('+') {
			c.took('-')
		}
		return c.digits()
	}
	return true
}

func (c *Cursor) digits() bool {
	if !isDigit(c.peek()) {
		return c.expected("a digit")
	}
	for isDigit(c.peek()) {
		c.at++
	}
	return true
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isHex(b byte) bool { return isDigit(b) || b|0x20 >= 'a' && b|0x20 <= 'f' }

// nesting is which containers are open: a bit each (1: object), so that depth
// costs no allocation up to 64, next to none beyond, and no recursion ever.
type nesting struct {
	depth int
	word  uint64
	full  []uint64
}

func (n *nesting) push(object bool) {
	if n.depth > 0 && n.depth%64 == 0 {
		n.full = append(n.full, n.word)
	}
	n.word <<= 1
	if object {
		n.word |= 1
	}
	n.depth++
}

func (n *nesting) pop() {
	n.depth--
	n.word >>= 1
	if n.depth > 0 && n.depth%64 == 0 {
		last := len(n.full) - 1
		n.word, n.full = n.full[last], n.full[:last]
	}
}

// Decode is the value of a JSON string literal, quotes included; false for any
// other value and for escapes that have no UTF-8 form (a lone surrogate).
func Decode(literal string) (string, bool) {
	if len(literal) < 2 || literal[0] != '"' || literal[len(literal)-1] != '"' {
		return "", false
	}
	rest := literal[1 : len(literal)-1]
	if strings.IndexByte(rest, '\\') < 0 {
		return rest, true
	}
	out := make([]byte, 0, len(rest))
	for {
		at := strings.IndexByte(rest, '\\')
		if at < 0 || at+1 >= len(rest) {
			return string(append(out, rest...)), true
		}
		out = append(out, rest[:at]...)
		escape := rest[at+1]
		rest = rest[at+2:]
		switch escape {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			unit := hex4(rest)
			rest = rest[4:]
			if utf16.IsSurrogate(unit) {
				if !strings.HasPrefix(rest, `\u`) {
					return "", false
				}
				unit = utf16.DecodeRune(unit, hex4(rest[2:]))
				if unit == utf8.RuneError {
					return "", false
				}
				rest = rest[6:]
			}
			out = utf8.AppendRune(out, unit)
		default:
			out = append(out, escape)
		}
	}
}

// hex4 reads four digits; what is not is no surrogate, and no valid JSON.
func hex4(digits string) rune {
	unit := rune(0)
	for i := 0; i < 4 && i < len(digits); i++ {
		b := digits[i]
		if !isHex(b) {
			return 0
		}
		if isDigit(b) {
			unit = unit<<4 | rune(b-'0')
		} else {
			unit = unit<<4 | rune(b|0x20-'a'+10)
		}
	}
	return unit
}

// Quote is the text as a JSON string.
func Quote(text string) string { return string(appendQuoted(nil, text)) }

func appendQuoted(out []byte, text string) []byte {
	const short = "btn\x00fr" // for 8 to 13; 11 has none
	out = append(out, '"')
	copied := 0
	for i := range len(text) {
		b := text[i]
		if !special[b] {
			continue
		}
		out = append(append(out, text[copied:i]...), '\\')
		switch {
		case b >= 0x20:
			out = append(out, b)
		case b >= 8 && b <= 13 && b != 11:
			out = append(out, short[b-8])
		default:
			out = append(out, 'u', '0', '0', '0'+b>>4, "0123456789abcdef"[b&15])
		}
		copied = i + 1
	}
	return append(append(out, text[copied:]...), '"')
}

// ScalarText is a string's value, or the text of a number or boolean; false for
// null, objects and arrays.
func ScalarText(value string) (string, bool) {
	if value == "" || strings.IndexByte("{[n", value[0]) >= 0 {
		return "", false
	}
	if value[0] == '"' {
		return Decode(value)
	}
	return value, true
}

// bytesOf is the text without a copy; nobody writes to it.
func bytesOf(text string) []byte {
	if text == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(text), len(text))
}

// Edits is a copy of a text with pieces replaced, in the order of the text.
type Edits struct {
	text   string
	copied int
	out    []byte
}

// NewEdits starts a copy of that text.
func NewEdits(text string) *Edits { return &Edits{text: text} }

// Put writes another text between two offsets; end is not 0.
func (e *Edits) Put(start, end int, with string) {
	if e.copied == 0 {
		e.out = make([]byte, 0, len(e.text)+64)
	}
	e.out = append(append(e.out, e.text[e.copied:start]...), with...)
	e.copied = end
}

// Outcome is the event with the edited text as its payload; Pass if there was
// no edit.
func (e *Edits) Outcome() Outcome {
	// Every edit ends behind byte 0, so this means that there was none.
	if e.copied == 0 {
		return Pass
	}
	return Emit(Message{}.WithPayload(append(e.out, e.text[e.copied:]...)))
}
