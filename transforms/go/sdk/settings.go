package relay

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// ReadSettings reads a JSON object into the fields of the struct that `into`
// points to, which hold the defaults; empty text is read as `{}`.
//
// A field is a setting by its tag: `setting:"id-field"`, or
// `setting:"path,required"`. Its type is a string, boolean or number, [JSON]
// (any value, null too), a slice, a map with string keys, a struct of settings,
// a pointer (nil: absent or null), or what has UnmarshalText, such as [Path]. A
// name that no field has is refused, and so is a value of another type; the
// error names the setting, as in `keep[0].field`.
func ReadSettings(text string, into any) error {
	if strings.Trim(text, " \t\r\n") == "" {
		text = "{}"
	}
	cursor := NewCursor(text)
	cursor.Value()
	if err := cursor.End(); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	cursor = NewCursor(text)
	if cursor.Kind() != ObjectKind {
		return errors.New("settings: not an object")
	}
	if err := readSetting(cursor.Value(), "", reflect.ValueOf(into).Elem()); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return nil
}

var (
	jsonType = reflect.TypeFor[JSON]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func readSetting(text, at string, into reflect.Value) error {
	wrong := func(wanted string) error { return settingError(at, "expected %s, found `%s`", wanted, text) }
	if into.Type() == jsonType {
		into.SetString(compact(text))
		return nil
	}
	if into.CanAddr() && into.Addr().Type().Implements(textType) {
		value, ok := Decode(text)
		if !ok {
			return wrong("a string")
		}
		if err := into.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(value)); err != nil {
			return settingError(at, "%w", err)
		}
		return nil
	}
	switch into.Kind() {
	case reflect.Pointer:
		if text == "null" {
			into.SetZero()
			return nil
		}
		made := reflect.New(into.Type().Elem())
		into.Set(made)
		return readSetting(text, at, made.Elem())
	case reflect.String:
		value, ok := Decode(text)
		if !ok {
			return wrong("a string")
		}
		into.SetString(strings.Clone(value))
	case reflect.Bool:
		if text != "true" && text != "false" {
			return wrong("true or false")
		}
		into.SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, into.Type().Bits())
		if err != nil {
			return wrong("a whole number that fits")
		}
		into.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, into.Type().Bits())
		if err != nil {
			return wrong("a whole number that is not negative and fits")
		}
		into.SetUint(n)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(text, into.Type().Bits())
		if err != nil {
			return wrong("a number")
		}
		into.SetFloat(n)
	case reflect.Slice:
		if text[0] != '[' {
			return wrong("a list")
		}
		return readList(text, at, into)
	case reflect.Map:
		if text[0] != '{' {
			return wrong("an object")
		}
		return readMap(text, at, into)
	case reflect.Struct:
		if text[0] != '{' {
			return wrong("an object")
		}
		return readStruct(text, at, into)
	default:
		return settingError(at, "a field of type %s cannot be a setting", into.Type())
	}
	return nil
}

func readList(text, at string, into reflect.Value) error {
	into.Set(reflect.MakeSlice(into.Type(), 0, 0))
	cursor := NewCursor(text)
	for i := range cursor.Elements() {
		element := reflect.New(into.Type().Elem()).Elem()
		if err := readSetting(cursor.Value(), fmt.Sprintf("%s[%d]", at, i), element); err != nil {
			return err
		}
		into.Set(reflect.Append(into, element))
	}
	return nil
}

func readMap(text, at string, into reflect.Value) error {
	// Anew, for the defaults may be another instance's too.
	into.Set(reflect.MakeMap(into.Type()))
	cursor := NewCursor(text)
	for key := range cursor.Members() {
		element := reflect.New(into.Type().Elem()).Elem()
		if err := readSetting(cursor.Value(), join(at, key.Name), element); err != nil {
			return err
		}
		into.SetMapIndex(reflect.ValueOf(strings.Clone(key.Name)).Convert(into.Type().Key()), element)
	}
	return nil
}

func readStruct(text, at string, into reflect.Value) error {
	// Of a repeated name the last value counts.
	given, order := map[string]string{}, []string{}
	cursor := NewCursor(text)
	for key := range cursor.Members() {
		if _, again := given[key.Name]; !again {
			order = append(order, key.Name)
		}
		given[key.Name] = cursor.Value()
	}
	var known, missing []string
	fields := map[string]reflect.Value{}
	for i := range into.NumField() {
		tag, ok := into.Type().Field(i).Tag.Lookup("setting")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		known, fields[name] = append(known, "`"+name+"`"), into.Field(i)
		if _, ok := given[name]; !ok && option == "required" {
			missing = append(missing, name)
		}
	}
	for _, name := range order {
		field, ok := fields[name]
		if !ok {
			if len(known) == 0 {
				return settingError(at, "unknown setting `%s`: there are none", name)
			}
			return settingError(at, "unknown setting `%s`, expected %s", name, strings.Join(known, ", "))
		}
		if err := readSetting(given[name], join(at, name), field); err != nil {
			return err
		}
	}
	for _, name := range missing {
		return settingError(at, "`%s` is missing", name)
	}
	return nil
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func settingError(at, format string, args ...any) error {
	if at != "" {
		format, args = "%s: "+format, append([]any{at}, args...)
	}
	return fmt.Errorf(format, args...)
}

// compact is the value without white space between its parts, and with strings
// as JSON writers have them.
func compact(text string) string {
	return string(appendCompact(nil, text))
}

func appendCompact(out []byte, text string) []byte {
	cursor := NewCursor(text)
	switch cursor.Kind() {
	case ObjectKind:
		object := readObject(cursor)
		out = append(out, '{')
		for i, name := range object.Names() {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(appendQuoted(out, name), ':')
			out = appendCompact(out, string(object.Get(name)))
		}
		return append(out, '}')
	case ArrayKind:
		out = append(out, '[')
		for i := range cursor.Elements() {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendCompact(out, cursor.Value())
		}
		return append(out, ']')
	}
	if value, ok := Decode(text); ok {
		return appendQuoted(out, value)
	}
	return append(out, text...)
}

// sortedKeys are the keys of a map with string keys, in order.
func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}
