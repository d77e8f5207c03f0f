package main

import (
	"math"
	"strconv"
	"strings"

	"relay"
)

// value is a JSON value of the settings to compare with.
type value struct {
	// The first byte of the text, 0 for every number.
	kind byte
	// A string's value.
	text     string
	number   number
	elements []*value
	members  map[string]*value
}

func kindOf(json string) byte {
	if strings.IndexByte("-0123456789", json[0]) >= 0 {
		return 0
	}
	return json[0]
}

func read(json string) *value {
	v, cursor := &value{kind: kindOf(json)}, relay.NewCursor(json)
	switch v.kind {
	case 0:
		v.number = readNumber(json)
	case '"':
		v.text, _ = relay.Decode(json)
	case '[':
		for range cursor.Elements() {
			v.elements = append(v.elements, read(cursor.Value()))
		}
	case '{':
		v.members = map[string]*value{}
		for key := range cursor.Members() {
			v.members[key.Name] = read(cursor.Value())
		}
	}
	return v
}

// equals compares as JSON readers do: members in any order, of a repeated key
// the last value, 1.0 is 1. It goes no deeper than the setting.
func (v *value) equals(json string) bool {
	if v.kind != kindOf(json) {
		return false
	}
	cursor := relay.NewCursor(json)
	switch v.kind {
	case 0:
		return v.number.equals(readNumber(json))
	case '"':
		// A string without UTF-8 form equals nothing.
		text, ok := relay.Decode(json)
		return ok && text == v.text
	case '[':
		same, count := true, 0
		for i := range cursor.Elements() {
			element := cursor.Value()
			same = same && i < len(v.elements) && v.elements[i].equals(element)
			count++
		}
		return same && count == len(v.elements)
	case '{':
		found := make(map[string]string, len(v.members))
		for key := range cursor.Members() {
			if v.members[key.Name] == nil {
				return false
			}
			found[key.Name] = cursor.Value()
		}
		for name, member := range v.members {
			if json, ok := found[name]; !ok || !member.equals(json) {
				return false
			}
		}
		return len(found) == len(v.members)
	}
	return true
}

// number is an integer of 64 bits where it is one, and a double.
type number struct {
	negative  bool
	magnitude uint64
	integer   bool
	double    float64
}

func readNumber(text string) (n number) {
	digits, negative := strings.CutPrefix(text, "-")
	magnitude, err := strconv.ParseUint(digits, 10, 64)
	n.integer = err == nil && !(negative && magnitude > -math.MinInt64)
	n.magnitude, n.negative = magnitude, negative && magnitude > 0
	n.double, _ = strconv.ParseFloat(text, 64)
	return n
}

func (n number) equals(other number) bool {
	if n.integer && other.integer {
		return n.negative == other.negative && n.magnitude == other.magnitude
	}
	// A number out of range equals nothing.
	return n.double == other.double && !math.IsInf(n.double, 0)
}
