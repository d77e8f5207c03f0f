package relay

import "strings"

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
