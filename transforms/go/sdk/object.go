package relay

import "slices"

// Object is a JSON object that is edited by its text: what is not touched keeps
// its bytes, digits of numbers, escapes, order and white space included.
//
// Of a repeated name the last member is got and the others are removed by the
// first edit of that name.
type Object struct {
	text    string
	members []member
	// Offsets behind the opening brace, of the first member and behind the last.
	open, first, end int
	dirty            bool
	err              error
}

type member struct {
	name string
	// Where the member stands, its value, and the end of the one before; all 0
	// for a new one.
	start, value, end, before int
	// What its value became: a text, or an object that may have been edited.
	text   JSON
	object *Object
}

// MapObject edits the payload as a JSON object. What edit returns is the
// outcome; nil emits the edited object, or passes if nothing changed.
//
// Tombstones pass, and so does JSON that is no object. A payload that is not
// JSON is poison `invalid-json`. For the return of Apply:
//
//	return relay.MapObject(e, func(o *relay.Object) relay.Outcome {
//		o.Replace("email", "***")
//		return nil
//	})
func MapObject(e *Event, edit func(*Object) Outcome) (Outcome, error) {
	if e.Payload == nil {
		return Pass, nil
	}
	text, err := e.Text()
	if err != nil {
		return nil, err
	}
	object, cursor := &Object{}, NewCursor(text)
	if cursor.Kind() == ObjectKind {
		object = readObject(cursor)
	} else {
		cursor.Value()
	}
	if err := cursor.End(); err != nil {
		return nil, err
	}
	if object.text == "" {
		return Pass, nil
	}
	if outcome := edit(object); outcome != nil || object.failed() != nil {
		return outcome, object.failed()
	}
	if !object.changed() {
		return Pass, nil
	}
	return Emit(Message{}.WithPayload(object.append(nil))), nil
}

func readObject(cursor *Cursor) *Object {
	open := cursor.at + 1
	o := &Object{text: cursor.text, open: open, first: open, end: open}
	for key := range cursor.Members() {
		cursor.blank()
		m := member{name: key.Name, start: key.Start, value: cursor.at, before: o.end}
		cursor.Value()
		if m.end = cursor.at; len(o.members) == 0 {
			o.first = m.start
		}
		o.end = m.end
		o.members = append(o.members, m)
	}
	return o
}

func (o *Object) find(name string) *member {
	for i := len(o.members) - 1; i >= 0; i-- {
		if o.members[i].name == name {
			return &o.members[i]
		}
	}
	return nil
}

// Names are the names of the members, in order.
func (o *Object) Names() []string {
	var names []string
	for _, m := range o.members {
		if !slices.Contains(names, m.name) {
			names = append(names, m.name)
		}
	}
	return names
}

// Has is whether there is a member of that name, null included.
func (o *Object) Has(name string) bool { return o.find(name) != nil }

// Get is the value of the member of that name; empty if there is none.
func (o *Object) Get(name string) JSON {
	m := o.find(name)
	switch {
	case m == nil:
		return ""
	case m.object != nil:
		return JSON(m.object.append(nil))
	case m.text != "":
		return m.text
	}
	return JSON(o.text[m.value:m.end])
}

// Object is the member of that name, if it is an object; editing it edits this
// one.
func (o *Object) Object(name string) (*Object, bool) {
	m := o.find(name)
	if m == nil {
		return nil, false
	}
	if m.object == nil {
		cursor := NewCursor(string(o.Get(name)))
		if cursor.Kind() != ObjectKind {
			return nil, false
		}
		// Of the value alone, which is the text of the inner object.
		m.object = readObject(cursor)
	}
	return m.object, true
}

// Set gives the member of that name a value, as [Encode] writes it; a new one
// comes last.
func (o *Object) Set(name string, value any) {
	text, err := Encode(value)
	if err != nil && o.err == nil {
		o.err = err
	}
	if o.Get(name) == text {
		return
	}
	o.dirty = true
	o.keepLast(name)
	m := o.find(name)
	if m == nil {
		o.members = append(o.members, member{name: name})
		m = &o.members[len(o.members)-1]
	}
	m.text, m.object = text, nil
}

// Replace is Set where there is a member of that name, and nothing otherwise.
func (o *Object) Replace(name string, value any) {
	if o.Has(name) {
		o.Set(name, value)
	}
}

// Delete removes the member of that name, if there is one.
func (o *Object) Delete(name string) {
	before := len(o.members)
	o.members = slices.DeleteFunc(o.members, func(m member) bool { return m.name == name })
	o.dirty = o.dirty || len(o.members) < before
}

func (o *Object) keepLast(name string) {
	last := -1
	for i, m := range o.members {
		if m.name == name {
			last = i
		}
	}
	if last < 0 {
		return
	}
	kept := o.members[:0:0]
	for i, m := range o.members {
		if m.name != name || i == last {
			kept = append(kept, m)
		}
	}
	o.members = kept
}

func (o *Object) failed() error {
	for _, m := range o.members {
		if m.object != nil && m.object.failed() != nil {
			return m.object.failed()
		}
	}
	return o.err
}

func (o *Object) changed() bool {
	return o.dirty || slices.ContainsFunc(o.members, func(m member) bool { return m.object != nil && m.object.changed() })
}

// append writes the object: of the old text all but removed members, each with
// what parts it from the one before; the first that is kept stands where the
// first one stood.
func (o *Object) append(out []byte) []byte {
	if !o.changed() {
		return append(out, o.text...)
	}
	for _, m := range o.members {
		// An edit within it is an edit of that name.
		if m.object != nil && m.object.changed() {
			o.keepLast(m.name)
		}
	}
	out = append(out, o.text[:o.first]...)
	for i, m := range o.members {
		switch old := m.end > 0; {
		case i > 0 && old:
			out = append(out, o.text[m.before:m.start]...)
		case i > 0:
			out = append(out, ',')
		}
		if m.end > 0 {
			out = append(out, o.text[m.start:m.value]...)
		} else {
			out = append(appendQuoted(out, m.name), ':')
		}
		switch {
		case m.object != nil:
			out = m.object.append(out)
		case m.text != "":
			out = append(out, m.text...)
		default:
			out = append(out, o.text[m.value:m.end]...)
		}
	}
	return append(out, o.text[o.end:]...)
}
