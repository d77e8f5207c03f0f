// Keeps or drops events by conditions; settings and behaviour are those of
// ../../rust/filter/README.md.
package main

import (
	"errors"
	"fmt"
	"slices"

	"relay"
)

// Filter has the settings as its fields.
type Filter struct {
	// Drop what meets none of these.
	Keep []Condition `setting:"keep"`
	// Drop what meets any of these, kept or not.
	Drop []Condition `setting:"drop"`
	// What a payload that is not JSON means: not poison, but halt.
	Halts Halts `setting:"invalid"`
}

// Halts is `halt`, or else `poison`.
type Halts bool

// UnmarshalText reads it in the settings.
func (h *Halts) UnmarshalText(text []byte) error {
	if *h = string(text) == "halt"; !*h && string(text) != "poison" {
		return fmt.Errorf("`%s` is neither `poison` nor `halt`", text)
	}
	return nil
}

// Init checks the conditions.
func (f *Filter) Init() error {
	if len(f.Keep) == 0 && len(f.Drop) == 0 {
		return errors.New("`keep` or `drop` must have at least one condition")
	}
	for i := range f.Keep {
		if err := f.Keep[i].check(); err != nil {
			return fmt.Errorf("keep[%d]: %w", i, err)
		}
	}
	for i := range f.Drop {
		if err := f.Drop[i].check(); err != nil {
			return fmt.Errorf("drop[%d]: %w", i, err)
		}
	}
	return nil
}

// Unused names what no condition looks at.
func (f *Filter) Unused() relay.Unused {
	reads := func(c Condition) bool { return c.Field != nil }
	payload := slices.ContainsFunc(f.Keep, reads) || slices.ContainsFunc(f.Drop, reads)
	return relay.Unused{Payload: !payload, Before: true, Headers: true}
}

// Apply keeps or drops one event.
func (f *Filter) Apply(e *relay.Event) (relay.Outcome, error) {
	if len(f.Keep) > 0 {
		if kept, err := f.holdsAny(f.Keep, e); err != nil || !kept {
			return relay.Drop("not-kept"), err
		}
	}
	dropped, err := f.holdsAny(f.Drop, e)
	if err != nil {
		return nil, err
	}
	return relay.DropIf(dropped, "dropped")
}

func (f *Filter) holdsAny(conditions []Condition, e *relay.Event) (bool, error) {
	for i := range conditions {
		holds, err := conditions[i].holds(e)
		var invalid *relay.Invalid
		if bool(f.Halts) && errors.As(err, &invalid) {
			return false, relay.Halt(relay.InvalidJSON, "payload: %v", err)
		}
		if err != nil || holds {
			return holds, err
		}
	}
	return false, nil
}

func init() { relay.Register(Filter{}) }

func main() {}
