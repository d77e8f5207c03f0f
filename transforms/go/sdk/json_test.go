package relay

import (
	"encoding/json"
	"math/rand"
	"strings"
	"testing"
)

func accepted(text string) bool {
	cursor := NewCursor(text)
	cursor.Value()
	return cursor.End() == nil
}

// walked is the same through Members and Elements.
func walked(text string) bool {
	cursor := NewCursor(text)
	var walk func()
	walk = func() {
		switch cursor.Kind() {
		case ObjectKind:
			for range cursor.Members() {
				walk()
			}
		case ArrayKind:
			for range cursor.Elements() {
				walk()
			}
		default:
			cursor.Value()
		}
	}
	walk()
	return cursor.End() == nil
}

func TestAcceptsWhatEncodingJSONDoes(t *testing.T) {
	seeds := []string{
		` { "a" : [ 1 , -2.50e+10 , true , false , null , "x\u00e9\n" ] , "b" : { } } `,
		`[{"k":"v\"\\\/","n":0.10,"deep":[[[[{}]]]]},"ünï",12345678901234567890.123]`,
	}
	const alphabet = "{}[]\":,\\/ue+-.0129 \n\ttrfalsn\x01\x00"
	random := rand.New(rand.NewSource(1))
	counts := map[bool]int{}
	for round := range 50_000 {
		text := []byte(seeds[round%2])
		for range 1 + random.Intn(3) {
			at, with := random.Intn(len(text)), alphabet[random.Intn(len(alphabet))]
			switch random.Intn(3) {
			case 0:
				text = append(text[:at], text[at+1:]...)
			case 1:
				text = append(text[:at], append([]byte{with}, text[at:]...)...)
			default:
				text[at] = with
			}
		}
		valid := strings.ToValidUTF8(string(text), "?")
		expected := json.Valid([]byte(valid))
		if accepted(valid) != expected || walked(valid) != expected {
			t.Fatalf("%q: expected %v", valid, expected)
		}
		counts[expected]++
	}
	if counts[true] < 1000 || counts[false] < 1000 {
		t.Error(counts)
	}
}

func TestDepthIsNoLimit(t *testing.T) {
	text := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	if !accepted(text) || accepted(text[1:]) || accepted(text[:len(text)-1]) {
		t.Error("deep brackets are misread")
	}
	if mixed := strings.Repeat(`[{"":`, 300) + "1" + strings.Repeat("}]", 300); !accepted(mixed) || accepted(mixed[:len(mixed)-1]+"}") {
		t.Error("deep containers are mixed up")
	}
}

func TestStrings(t *testing.T) {
	for literal, expected := range map[string]string{
		`"\ud83d\ude00\t\u00FC\/"`: "😀\tü/", `""`: "", `"a"`: "a", `"\\\""`: `\"`,
	} {
		if got, ok := Decode(literal); !ok || got != expected {
			t.Errorf("%s: %q", literal, got)
		}
	}
	for _, wrong := range []string{`"\ud83d"`, `"\ud83dx"`, `"\udc00"`, `"\ud83d\u0041"`, "12", `"`, "null",
		`"\u1"`, `"\ud83d\u1"`, `"\uzzzz"`, `"\"`, `"a"b"`, "\"\n\"", `"\x"`} {
		if got, ok := Decode(wrong); ok {
			t.Errorf("%s: %q", wrong, got)
		}
	}
	if got := Quote("\"\\\b\t\n\v\f\r\x01ü"); got != `"\"\\\b\t\n\u000b\f\r\u0001ü"` {
		t.Error(got)
	}
}

func TestPaths(t *testing.T) {
	for _, wrong := range []string{"", ".", "a.", ".a", "a..b", "a[", "a[0]", "a[]b", "a.[]", `a\`, "[]."} {
		if path, err := ParsePath(wrong); err == nil {
			t.Errorf("%s: %v", wrong, path)
		}
	}
	text := ` {"a":{"b": 1.10},"l":[{"b":1},{"b":2},3], "a.b": "dot","\u0061":{"b": 2.0 }} `
	for path, expected := range map[string]string{"a.b": "2.0", `a\.b`: `"dot"`, "l.b": "", "a.b.c": "", "l[].b": "2"} {
		parsed, err := ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parsed.Find(text); err != nil || got != expected {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []Path{{}, {{Name: "a"}}} {
		if _, err := path.Find(`{"a":1} x`); err == nil {
			t.Errorf("%v: trailing garbage", path)
		}
	}
}
