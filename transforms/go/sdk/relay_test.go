package relay

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func edited(t *testing.T, payload string, edit func(*Object)) string {
	t.Helper()
	outcome, err := MapObject(&Event{Payload: []byte(payload)}, func(o *Object) Outcome {
		edit(o)
		return nil
	})
	if err != nil {
		return err.Error()
	}
	if emitted, ok := outcome.(emit); ok {
		return string(emitted.messages[0].payload.value)
	}
	return "passed"
}

func TestObjectKeepsEveryOtherByte(t *testing.T) {
	const payload = "\n{ \"a\" : 12345678901234567890.10 , \"b\":{ \"c\":1 , \"c\":2,\"d\" : [ ]},\t\"e\":\"\\u00e9\" }\n"
	for expected, edit := range map[string]func(*Object){
		"passed": func(o *Object) { o.Set("a", JSON("12345678901234567890.10")); o.Replace("x", 1); o.Delete("y") },
		"\n{ \"a\" : \"***\" , \"b\":{ \"c\":1 , \"c\":2,\"d\" : [ ]},\t\"e\":\"\\u00e9\" }\n": func(o *Object) { o.Set("a", "***") },
		"\n{ \"b\":{ \"c\":1 , \"c\":2,\"d\" : [ ]},\t\"e\":\"\\u00e9\" }\n":                   func(o *Object) { o.Delete("a") },
		"\n{ \"a\" : 12345678901234567890.10,\t\"e\":\"\\u00e9\" }\n":                          func(o *Object) { o.Delete("b") },
		"\n{ \"a\" : 12345678901234567890.10 , \"b\":{ \"c\":1 , \"c\":2,\"d\" : [ ]} }\n":     func(o *Object) { o.Delete("e") },
		"\n{  }\n": func(o *Object) { o.Delete("a"); o.Delete("b"); o.Delete("e") },
		"\n{ \"a\" : 12345678901234567890.10 , \"b\":{ \"c\":1 , \"c\":2,\"d\" : [ ]},\t\"e\":\"\\u00e9\",\"n\":[1.5,null] }\n": func(o *Object) { o.Set("n", []any{1.5, nil}) },
		"\n{ \"a\" : 12345678901234567890.10 , \"b\":{ \"c\":true,\"d\" : [ ]},\t\"e\":\"\\u00e9\" }\n": func(o *Object) {
			inner, _ := o.Object("b")
			inner.Set("c", true)
		},
	} {
		if got := edited(t, payload, edit); got != expected {
			t.Errorf("got %q\nfor %q", got, expected)
		}
	}
	inner := func(o *Object) {
		inner, _ := o.Object("b")
		inner.Set("c", true)
	}
	if got := edited(t, `{"b":{"c":1}, "a":1, "b":{"c":2}}`, inner); got != `{"a":1, "b":{"c":true}}` {
		t.Error(got)
	}
	if got := edited(t, "{}", func(o *Object) { o.Set("é\"", map[string]int{"b": 1, "a": 2}) }); got != `{"é\"":{"a":2,"b":1}}` {
		t.Error(got)
	}
}

func TestMapObjectTouchesNothingElse(t *testing.T) {
	mask := func(o *Object) { o.Set("a", 1) }
	for payload, expected := range map[string]string{
		"[1]": "passed", "null": "passed", `{"a":1}`: "passed",
		"{": "expected a string at byte 1", `{"a":2} x`: "expected the end at byte 8", "\xff": "expected UTF-8 at byte 0",
	} {
		if got := edited(t, payload, mask); got != expected {
			t.Errorf("%q: %s", payload, got)
		}
	}
	if got := edited(t, "{}", func(o *Object) { o.Set("a", func() {}) }); !strings.HasPrefix(got, "unserialisable") {
		t.Error(got)
	}
	outcome, err := MapObject(&Event{}, func(*Object) Outcome { return Drop("never") })
	if outcome != Pass || err != nil {
		t.Error(outcome, err)
	}
}

type applying func() (Outcome, error)

func (a applying) Apply(*Event) (Outcome, error) { return a() }

func TestWhatGoesWrongIsAFailure(t *testing.T) {
	for expected, apply_ := range map[string]applying{
		"exception: panic: assignment to entry in nil map": func() (Outcome, error) { map[string]int(nil)["a"] = 1; return Pass, nil },
		"exception: Apply returned neither":                func() (Outcome, error) { return nil, nil },
		"exception: message 1: the topic that Apply":       func() (Outcome, error) { return Emit(Message{}, Message{}.WithTopic("\xff")), nil },
		"exception: boom": func() (Outcome, error) { return Pass, errors.New("boom") },
		"no-card: 7":      func() (Outcome, error) { return nil, Poison("no-card", "%d", 7) },
		"exception: panic: runtime error: invalid memory address": func() (Outcome, error) { var none *Failure; return Drop("x"), none },
		"invalid-json: payload: expected the end":                 func() (Outcome, error) { return nil, NewCursor("1").End() },
	} {
		_, failure := apply(apply_, &Event{})
		if failure == nil || !strings.HasPrefix(failure.Error(), expected) {
			t.Errorf("%s: %v", expected, failure)
		}
	}
}

type settings struct {
	Text    string          `setting:"text"`
	Path    Path            `setting:"path"`
	Raw     JSON            `setting:"raw"`
	Count   uint8           `setting:"count"`
	Share   float64         `setting:"share"`
	Option  *bool           `setting:"option"`
	Names   map[string]Path `setting:"names"`
	Parts   []part          `setting:"parts"`
	ignored int
}

type part struct {
	Name       string      `setting:"name,required"`
	Operations []Operation `setting:"operations"`
}

func TestSettings(t *testing.T) {
	got := settings{Text: "default", Count: 3}
	err := ReadSettings(`{"path":"a.b","raw":{ "k": [ "\u000b",1.10 ] },"share":0.5,"option":true,"names":{"x":"y"},
		"parts":[{"name":"n","operations":["delete"]}],"count":1,"count":2}`, &got)
	yes := true
	expected := settings{
		Text: "default", Path: Path{{Name: "a"}, {Name: "b"}}, Raw: `{"k":["\u000b",1.10]}`, Count: 2, Share: 0.5, Option: &yes,
		Names: map[string]Path{"x": {{Name: "y"}}}, Parts: []part{{"n", []Operation{OpDelete}}},
	}
	if err != nil || !reflect.DeepEqual(got, expected) {
		t.Errorf("%+v, %v", got, err)
	}
	for text, expected := range map[string]string{
		`{"txet":1}`:                     "unknown setting `txet`, expected `text`, `path`",
		`{"text":null}`:                  "text: expected a string, found `null`",
		`{"count":256}`:                  "count: expected a whole number",
		`{"path":"a["}`:                  "path: `a[`: `[` must be followed",
		`{"names":{"x":"."}}`:            "names.x: `.`: a path has no empty name",
		`{"parts":[{"name":"a"},{}]}`:    "parts[1]: `name` is missing",
		`{"parts":[{"name":"a","b":1}]}`: "parts[0]: unknown setting `b`",
		`{"parts":[{"name":"a","operations":["delete","upsert"]}]}`: "parts[0].operations[1]: `upsert` is none of",
		"[]": "not an object",
		"{":  "expected a string at byte 1",
	} {
		if err := ReadSettings(text, &settings{}); err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := ReadSettings(" ", &settings{}); err != nil {
		t.Error(err)
	}
}
