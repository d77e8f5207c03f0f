package relay

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Decode is the value of a JSON string literal, quotes included; false for any
// other value and for escapes that have no UTF-8 form (a lone surrogate).
func Decode(literal string) (string, bool) {
	if len(literal) < 2 || literal[0] != '"' || literal[len(literal)-1] != '"' {
		return "", false
	}
	cursor := Cursor{text: literal}
	escaped, ok := cursor.string()
	if !ok || cursor.at != len(literal) {
		return "", false
	}
	rest := literal[1 : len(literal)-1]
	if !escaped {
		return rest, true
	}
	out := make([]byte, 0, len(rest))
	for {
		at := strings.IndexByte(rest, '\\')
		if at < 0 {
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

// hex4 reads four hex digits.
func hex4(digits string) rune {
	unit := rune(0)
	for i := range 4 {
		if b := digits[i]; isDigit(b) {
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

// special are the bytes at which a string needs a look.
var special = func() (special [256]bool) {
	for b := range 0x20 {
		special[b] = true
	}
	special['"'], special['\\'] = true, true
	return special
}()
