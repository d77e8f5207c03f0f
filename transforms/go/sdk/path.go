package relay

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Step is one step of a [Path]: into the member of that name, or into every
// element of an array.
type Step struct {
	Name string
	Each bool
}

// Path is where a value stands: `customer.email`, `items[].note`, `[].id`.
//
// Names are parted by `.`; `[]` is every element of an array, and an array is
// never entered without it. A backslash takes the next character as it is:
// `a\.b` is one name.
type Path []Step

var (
	errEmptyName = errors.New("a path has no empty name: write it like `customer.email`")
	errBracket   = errors.New("`[` must be followed by `]`, and that by `.`, `[]` or the end")
	errEscape    = errors.New("`\\` must be followed by a character")
)

// ParsePath reads a path.
func ParsePath(text string) (Path, error) {
	var path Path
	// Whether a name may, or must, come next.
	allowed, required := true, true
	for rest := text; rest != ""; {
		switch {
		case rest[0] == '[':
			wanted := required && len(path) > 0
			if !strings.HasPrefix(rest, "[]") || wanted {
				return nil, errBracket
			}
			path, rest = append(path, Step{Each: true}), rest[2:]
			allowed, required = false, false
		case rest[0] == '.' && required:
			return nil, errEmptyName
		case rest[0] == '.':
			rest = rest[1:]
			allowed, required = true, true
		case !allowed:
			return nil, errBracket
		default:
			var name []byte
			for first := true; rest != "" && (first || rest[0] != '.' && rest[0] != '['); first = false {
				if rest[0] == '\\' {
					if rest = rest[1:]; rest == "" {
						return nil, errEscape
					}
				}
				_, size := utf8.DecodeRuneInString(rest)
				name, rest = append(name, rest[:size]...), rest[size:]
			}
			path = append(path, Step{Name: string(name)})
			allowed, required = false, false
		}
	}
	if required {
		return nil, errEmptyName
	}
	return path, nil
}

// UnmarshalText reads a path in the settings.
func (p *Path) UnmarshalText(text []byte) error {
	path, err := ParsePath(string(text))
	if err != nil {
		return fmt.Errorf("`%s`: %w", text, err)
	}
	*p = path
	return nil
}

// Plural is whether it can mean more than one value.
func (p Path) Plural() bool {
	for _, step := range p {
		if step.Each {
			return true
		}
	}
	return false
}

// LastName is the last name in it, if it ends in one.
func (p Path) LastName() (string, bool) {
	if len(p) == 0 || p[len(p)-1].Each {
		return "", false
	}
	return p[len(p)-1].Name, true
}

// Find is the JSON text of the value, the last one of a plural path; empty if
// there is none. The whole text is checked, found or not.
func (p Path) Find(text string) (found string, err error) {
	err = p.Visit(text, func(value string) { found = value })
	if err != nil {
		return "", err
	}
	return found, nil
}

// Visit gives the JSON text of each value the path means, in order. Of a
// repeated key the last value counts, as JSON readers have it.
func (p Path) Visit(text string, each func(value string)) error {
	cursor := NewCursor(text)
	switch kind := cursor.Kind(); {
	case len(p) == 0:
		if value := cursor.Value(); cursor.err == nil {
			each(value)
		}
	case !p[0].Each && kind == ObjectKind:
		last, found := "", false
		for key := range cursor.Members() {
			if value := cursor.Value(); key.Name == p[0].Name {
				last, found = value, true
			}
		}
		if err := cursor.End(); err != nil || !found {
			return err
		}
		return p[1:].Visit(last, each)
	case p[0].Each && kind == ArrayKind:
		for range cursor.Elements() {
			if value := cursor.Value(); cursor.err == nil {
				// What was read as a value has no error.
				_ = p[1:].Visit(value, each)
			}
		}
	default:
		cursor.Value()
	}
	return cursor.End()
}
