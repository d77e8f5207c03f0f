// The smallest transform that shows every answer of the contract; each
// language has a twin, and one test runs them all.
package export_relay_transform_transformer

import (
	"encoding/json"
	"runtime"
	"slices"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/relay_transform_host"
	. "wit_component/relay_transform_types"
)

// Transform needs both fields: the bindings keep the resource in place by them.
type Transform struct {
	pinner runtime.Pinner
	handle int32
}

func (t *Transform) OnDrop() {}

func TransformCreate(settings string) wit.Result[*Transform, string] {
	var s map[string]any
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return wit.Err[*Transform](err.Error())
	}
	if why, ok := s["refuse"].(string); ok {
		return wit.Err[*Transform](why)
	}
	return wit.Ok[*Transform, string](&Transform{})
}

func (t *Transform) Unused() Unused { return 0 }

func (t *Transform) Process(events []Event) []Outcome {
	outcomes := make([]Outcome, len(events))
	for i, e := range events {
		outcomes[i] = one(uint32(i), e)
	}
	return outcomes
}

func one(index uint32, e Event) Outcome {
	switch e.EventType {
	case "drop":
		return MakeOutcomeDrop(wit.Some("asked"))
	case "emit2":
		return MakeOutcomeEmit([]Message{
			{
				Payload: wit.Some(MakeContentText("a")),
				Headers: wit.Some(HeaderEdit{
					Append: []Header{{Name: "h", Value: wit.Some([]byte("1"))}},
				}),
			},
			{Payload: wit.Some(MakeContentNull()), Topic: wit.Some("other")},
		})
	case "edit":
		return MakeOutcomeEmit([]Message{{
			Key: wit.Some(MakeContentText("k2")),
			Headers: wit.Some(HeaderEdit{
				Remove: []string{"x"},
				Append: []Header{{Name: "n"}},
			}),
		}})
	case "fail":
		return MakeOutcomeFail(Failure{Kind: FailureKind_Poison, Code: "asked", Detail: e.Id})
	case "halt":
		return MakeOutcomeFail(Failure{Kind: FailureKind_Halt, Code: "asked"})
	case "log":
		relay_transform_host.Log(relay_transform_host.Level_Info, "hello", wit.Some(index))
	case "echo":
		payload := slices.Clone(e.Payload.SomeOr(nil))
		slices.Reverse(payload)
		return MakeOutcomeEmit([]Message{{
			EventType: wit.Some("echoed"),
			Payload:   wit.Some(MakeContentBytes(payload)),
		}})
	}
	return MakeOutcomePass()
}
