package main

import (
	"reflect"
	"testing"

	"relay"
)

func TestApply(t *testing.T) {
	masked := relay.Emit(relay.Message{}.WithPayload([]byte(`{"id":1.10,"email":"***"}`)))
	for payload, expected := range map[string]relay.Outcome{
		`{"id":1.10,"email":"a@b"}`: masked,
		`{"id":1}`:                  relay.Pass,
		`[]`:                        relay.Pass,
		`{"test":true}`:             relay.Drop("test"),
	} {
		mask, err := relay.Create("{}")
		if err != nil {
			t.Fatal(err)
		}
		outcome, err := mask.Apply(&relay.Event{Payload: []byte(payload)})
		if err != nil || !reflect.DeepEqual(outcome, expected) {
			t.Errorf("%s became %v, %v", payload, outcome, err)
		}
	}
}

func TestSettingsAreRefusedByName(t *testing.T) {
	if _, err := relay.Create(`{"maks":"card"}`); err == nil {
		t.Error("`maks` is no setting")
	}
}
