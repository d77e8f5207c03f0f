// Publishes each element of an array in the payload as a message; settings and
// behaviour are those of ../../rust/split/README.md.
package main

import (
	"fmt"
	"slices"

	"relay"
)

// Split has the settings as its fields.
type Split struct {
	// Where the array stands.
	Path relay.Path `setting:"path,required"`
	// A value in each element that tells it from the others of its event; the
	// message's id is the event's, `:` and this value.
	IDField   *relay.Path `setting:"id-field"`
	EventType *string     `setting:"event-type"`
	Topic     *string     `setting:"topic"`
	// Values of the payload to put into each element, under their last name.
	Copy []relay.Path `setting:"copy"`
}

// Init checks what the fields' types do not.
func (s *Split) Init() error {
	single := func(name string, path relay.Path) error {
		if path.Plural() {
			return fmt.Errorf("%s: `[]` gives several values, one is needed", name)
		}
		return nil
	}
	if err := single("path", s.Path); err != nil {
		return err
	}
	if s.IDField != nil {
		if err := single("id-field", *s.IDField); err != nil {
			return err
		}
	}
	names := map[string]bool{}
	for i, path := range s.Copy {
		if err := single(fmt.Sprintf("copy[%d]", i), path); err != nil {
			return err
		}
		name, _ := path.LastName()
		if names[name] {
			return fmt.Errorf("copy[%d]: another one is named `%s`", i, name)
		}
		names[name] = true
	}
	return nil
}

// Unused names what is not looked at.
func (s *Split) Unused() relay.Unused { return relay.Unused{Before: true, Headers: true} }

// Apply makes a message of each element.
func (s *Split) Apply(e *relay.Event) (relay.Outcome, error) {
	if e.Payload == nil {
		return relay.Pass, nil
	}
	payload, err := e.Text()
	if err != nil {
		return nil, err
	}
	list, err := s.Path.Find(payload)
	if err != nil {
		return nil, err
	}
	if list == "" || list == "null" {
		return relay.Drop("empty"), nil
	}
	cursor := relay.NewCursor(list)
	if cursor.Kind() != relay.ArrayKind {
		return nil, relay.Poison("not-an-array", "`path` leads to something else")
	}
	copies, err := s.copies(payload)
	if err != nil {
		return nil, err
	}
	var messages []relay.Message
	ids := map[string]bool{}
	for range cursor.Elements() {
		element := cursor.Value()
		text, err := extended(element, copies)
		if err != nil {
			return nil, err
		}
		message := s.message().WithText(text)
		if s.IDField != nil {
			id, err := s.id(element)
			if err != nil {
				return nil, err
			}
			if ids[id] {
				return nil, relay.Poison("repeated-id", "two elements have the same id")
			}
			ids[id] = true
			message = message.WithID(e.ID + ":" + id)
		}
		messages = append(messages, message)
	}
	if len(messages) == 0 {
		return relay.Drop("empty"), nil
	}
	return relay.Emit(messages...), nil
}

func (s *Split) message() (m relay.Message) {
	if s.EventType != nil {
		m = m.WithEventType(*s.EventType)
	}
	if s.Topic != nil {
		m = m.WithTopic(*s.Topic)
	}
	return m
}

// id is a string's value, or the text of a number or boolean.
func (s *Split) id(element string) (string, error) {
	value, err := s.IDField.Find(element)
	id, ok := relay.ScalarText(value)
	if err != nil || !ok {
		return "", relay.Poison("missing-id", "an element has no string or number at `id-field`")
	}
	return id, nil
}

// member is what is copied into each element.
type member struct {
	name, value string
}

// copies are those that the payload has.
func (s *Split) copies(payload string) (copies []member, err error) {
	for _, path := range s.Copy {
		value, err := path.Find(payload)
		if err != nil {
			return nil, err
		}
		if name, _ := path.LastName(); value != "" {
			copies = append(copies, member{name, value})
		}
	}
	return copies, nil
}

// extended is the element with the copies in front; a member of its own goes
// before a copy of the same name.
func extended(element string, copies []member) (string, error) {
	if len(copies) == 0 {
		return element, nil
	}
	cursor := relay.NewCursor(element)
	if cursor.Kind() != relay.ObjectKind {
		return "", relay.Poison("not-an-object", "`copy` needs elements that are objects")
	}
	copies, empty := slices.Clone(copies), true
	for key := range cursor.Members() {
		empty = false
		copies = slices.DeleteFunc(copies, func(m member) bool { return m.name == key.Name })
		cursor.Value()
	}
	if len(copies) == 0 {
		return element, nil
	}
	out := make([]byte, 0, len(element)+64)
	for _, copied := range copies {
		if len(out) == 0 {
			out = append(out, '{')
		} else {
			out = append(out, ',')
		}
		out = append(append(out, relay.Quote(copied.name)...), ':')
		out = append(out, copied.value...)
	}
	if !empty {
		out = append(out, ',')
	}
	return string(append(out, element[1:]...)), nil
}

func init() { relay.Register(Split{}) }

func main() {}
