package main

import (
	"errors"
	"slices"

	"relay"
)

// Condition holds when every part that is given holds.
type Condition struct {
	EventType *[]string          `setting:"event-type"`
	Entity    *[]string          `setting:"entity"`
	Operation *[]relay.Operation `setting:"operation"`
	// A value in the payload; with one of the three below. A plural path
	// (`items[].sku`) asks whether any of its values does.
	Field  *relay.Path   `setting:"field"`
	Equals relay.JSON    `setting:"equals"`
	In     *[]relay.JSON `setting:"in"`
	// JSON null exists.
	Exists *bool `setting:"exists"`

	wanted []*value
}

func (c *Condition) check() error {
	tests := 0
	for _, given := range []bool{c.Equals != "", c.In != nil, c.Exists != nil} {
		if given {
			tests++
		}
	}
	switch {
	case c.Field != nil && tests != 1:
		return errors.New("`field` needs one of `equals`, `in`, `exists`")
	case c.Field == nil && tests > 0:
		return errors.New("`equals`, `in`, `exists` need a `field`")
	case c.Field == nil && c.EventType == nil && c.Entity == nil && c.Operation == nil:
		return errors.New("an empty condition would hold for every event")
	}
	if c.Equals != "" {
		c.wanted = append(c.wanted, read(string(c.Equals)))
	}
	if c.In != nil {
		for _, json := range *c.In {
			c.wanted = append(c.wanted, read(string(json)))
		}
	}
	return nil
}

func among[T comparable](list *[]T, value T) bool {
	return list == nil || slices.Contains(*list, value)
}

func (c *Condition) holds(e *relay.Event) (bool, error) {
	// The payload is read last, and only if the rest holds.
	if !among(c.EventType, e.EventType) || !among(c.Entity, e.Entity) || !among(c.Operation, e.Operation) {
		return false, nil
	}
	if c.Field == nil {
		return true, nil
	}
	found, met := false, false
	if e.Payload != nil {
		text, err := e.Text()
		if err != nil {
			return false, err
		}
		err = c.Field.Visit(text, func(json string) {
			found = true
			met = met || slices.ContainsFunc(c.wanted, func(v *value) bool { return v.equals(json) })
		})
		if err != nil {
			return false, err
		}
	}
	if c.Exists != nil {
		return found == *c.Exists, nil
	}
	return met, nil
}
