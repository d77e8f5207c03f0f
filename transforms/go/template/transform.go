// Masks one member of a JSON payload, and drops test events.
package main

import "relay"

// Mask's fields are the settings.
type Mask struct {
	Member string `setting:"mask"`
}

// Apply says what becomes of one event.
func (m *Mask) Apply(e *relay.Event) (relay.Outcome, error) {
	return relay.MapObject(e, func(o *relay.Object) relay.Outcome {
		if o.Get("test").True() {
			return relay.Drop("test")
		}
		o.Replace(m.Member, "***")
		return nil
	})
}

func init() { relay.Register(Mask{Member: "email"}) }

func main() {}
