package relay

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// JSON is a JSON value by its text, so that numbers keep their digits; empty
// where there is none.
type JSON string

// Text is the value of a string; false for any other value.
func (j JSON) Text() (string, bool) { return Decode(string(j)) }

// Int is the value of an integer; false for any other value.
func (j JSON) Int() (int64, bool) {
	n, err := strconv.ParseInt(string(j), 10, 64)
	return n, err == nil
}

// Float is the value of a number; false for any other value.
func (j JSON) Float() (float64, bool) {
	if j == "" || j[0] != '-' && !isDigit(j[0]) {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(j), 64)
	return n, err == nil
}

// True is whether it is `true`.
func (j JSON) True() bool { return j == "true" }

// Encode is the JSON text of a value: nil, a string, a boolean, a number, a
// [JSON], slices, maps with string keys (in the order of the keys), pointers to
// those, and what has MarshalJSON.
func Encode(value any) (JSON, error) {
	out, err := appendJSON(nil, reflect.ValueOf(value))
	return JSON(out), err
}

type jsonMarshaler interface{ MarshalJSON() ([]byte, error) }

func appendJSON(out []byte, value reflect.Value) ([]byte, error) {
	if !value.IsValid() {
		return append(out, "null"...), nil
	}
	switch made := value.Interface().(type) {
	case JSON:
		cursor := NewCursor(string(made))
		cursor.Value()
		return append(out, made...), cursor.End()
	case jsonMarshaler:
		text, err := made.MarshalJSON()
		return append(out, text...), err
	case encoding.TextMarshaler:
		text, err := made.MarshalText()
		return appendQuoted(out, string(text)), err
	}
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		return appendJSON(out, value.Elem())
	case reflect.String:
		return appendQuoted(out, value.String()), nil
	case reflect.Bool:
		return strconv.AppendBool(out, value.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(out, value.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.AppendUint(out, value.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		if n := value.Float(); !math.IsNaN(n) && !math.IsInf(n, 0) {
			return strconv.AppendFloat(out, n, 'g', -1, value.Type().Bits()), nil
		}
	case reflect.Slice, reflect.Array:
		if value.Kind() == reflect.Slice && value.IsNil() {
			return append(out, "null"...), nil
		}
		out = append(out, '[')
		for i := range value.Len() {
			if i > 0 {
				out = append(out, ',')
			}
			var err error
			if out, err = appendJSON(out, value.Index(i)); err != nil {
				return out, err
			}
		}
		return append(out, ']'), nil
	case reflect.Map:
		if value.Type().Key().Kind() == reflect.String {
			return appendMap(out, value)
		}
	}
	return out, Poison("unserialisable", "%s has no JSON form: make its text with encoding/json and pass it as relay.JSON", value.Type())
}

func appendMap(out []byte, value reflect.Value) ([]byte, error) {
	if value.IsNil() {
		return append(out, "null"...), nil
	}
	out = append(out, '{')
	for i, key := range sortedKeys(value) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendQuoted(out, key.String()), ':')
		var err error
		if out, err = appendJSON(out, value.MapIndex(key)); err != nil {
			return out, err
		}
	}
	return append(out, '}'), nil
}

// String is the text itself, for `%s`.
func (j JSON) String() string { return string(j) }

var _ fmt.Stringer = JSON("")
