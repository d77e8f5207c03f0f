// Masks, removes and renames fields of a JSON payload; settings and behaviour
// are those of ../../rust/redact/README.md.
//
// The payload is read once and written once; all that is not named is copied by
// its text, so digits, escapes, order and white space stay.
package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"relay"
)

// Redact has the settings as its fields.
type Redact struct {
	// What to mask or remove.
	Fields []relay.Path `setting:"fields"`
	// What stands in a masked field; `"***"` if not set.
	Replace relay.JSON `setting:"replace"`
	// Remove the fields instead of masking them.
	Remove bool `setting:"remove"`
	// New names for keys, by path; each key stays where it is.
	Rename map[string]string `setting:"rename"`

	root node
}

// Init makes one tree of all paths.
func (r *Redact) Init() error {
	if len(r.Fields) == 0 && len(r.Rename) == 0 {
		return errors.New("`fields` or `rename` must name at least one path")
	}
	if r.Remove && r.Replace != "" {
		return errors.New("`replace` has no use with `remove`: give one of them")
	}
	if r.Replace == "" {
		r.Replace = `"***"`
	}
	for _, path := range r.Fields {
		r.root.add(path).hit = true
	}
	for _, path := range slices.Sorted(maps.Keys(r.Rename)) {
		if err := r.root.addRename(path, r.Rename[path], r.Remove); err != nil {
			return fmt.Errorf("rename.%s: %w", path, err)
		}
	}
	return nil
}

// Unused names what is not looked at.
func (r *Redact) Unused() relay.Unused { return relay.Unused{Before: true, Headers: true} }

// Apply edits one payload.
func (r *Redact) Apply(e *relay.Event) (relay.Outcome, error) {
	if e.Payload == nil {
		return relay.Pass, nil
	}
	text, err := e.Text()
	if err != nil {
		return nil, err
	}
	w := walk{Redact: r, cursor: relay.NewCursor(text), edits: relay.NewEdits(text)}
	if err := w.value(&r.root); err != nil {
		return nil, err
	}
	if err := w.cursor.End(); err != nil {
		return nil, err
	}
	return w.edits.Outcome(), nil
}

func init() { relay.Register(Redact{}) }

func main() {}

// node is what the settings say about one value and what is in it: the paths as
// one tree, walked along with the payload.
type node struct {
	// Mask or remove this value; nothing below it is looked at then.
	hit bool
	// A new name for the key that leads here; empty if it keeps its own.
	rename string
	each   *node
	names  map[string]*node
	// The new names of keys in this object.
	targets map[string]bool
}

// add is the node at the end of the path, made where it is missing.
func (n *node) add(path relay.Path) *node {
	for _, step := range path {
		if step.Each && n.each == nil {
			n.each = &node{}
		}
		if step.Each {
			n = n.each
			continue
		}
		if n.names == nil {
			n.names = map[string]*node{}
		}
		if n.names[step.Name] == nil {
			n.names[step.Name] = &node{}
		}
		n = n.names[step.Name]
	}
	return n
}

func (n *node) addRename(text, name string, removes bool) error {
	path, err := relay.ParsePath(text)
	if err != nil {
		return err
	}
	if _, ok := path.LastName(); !ok {
		return errors.New("only a name can be renamed, not `[]`")
	}
	if name == "" || strings.ContainsAny(name, ".[") {
		return fmt.Errorf("`%s` is not a name: a key stays where it is", name)
	}
	parent := n.add(path[:len(path)-1])
	if parent.targets[name] {
		return fmt.Errorf("another key of the same object becomes `%s`", name)
	}
	field := parent.add(path[len(path)-1:])
	if field.hit && removes {
		return errors.New("the field is removed by `fields`")
	}
	if parent.targets == nil {
		parent.targets = map[string]bool{}
	}
	field.rename, parent.targets[name] = name, true
	return nil
}

// walk is one pass over a payload.
type walk struct {
	*Redact
	cursor *relay.Cursor
	edits  *relay.Edits
}

func (w *walk) value(n *node) (err error) {
	switch kind := w.cursor.Kind(); {
	case kind == relay.ObjectKind && n.names != nil:
		return w.object(n)
	case kind == relay.ArrayKind && n.each != nil && n.each.hit:
		w.hits()
	case kind == relay.ArrayKind && n.each != nil:
		for range w.cursor.Elements() {
			if err := w.value(n.each); err != nil {
				return err
			}
		}
	default:
		w.cursor.Value()
	}
	return w.cursor.Err()
}

func (w *walk) object(n *node) error {
	// Removed members take a comma with them: the one in front, once a member
	// was kept (`end` is then that of the last one read); the one behind until
	// then (`leading` is where the first removed one starts). No member is at 0.
	var end, leading, last int
	keep := func(start int) {
		if leading > 0 {
			w.edits.Put(leading, start, "")
		}
		leading = 0
	}
	// New names given, and names that stay though a key may become them.
	var given, taken []string
	for key := range w.cursor.Members() {
		child := n.names[key.Name]
		if child != nil && child.hit && w.Remove {
			w.cursor.Value()
			last = w.cursor.Position()
			if end > 0 {
				w.edits.Put(end, last, "")
				end = last
			} else if leading == 0 {
				leading = key.Start
			}
			continue
		}
		keep(key.Start)
		if child != nil && child.rename != "" {
			given = append(given, child.rename)
			if child.rename != key.Name {
				w.edits.Put(key.Start, key.End, relay.Quote(child.rename))
			}
		} else if n.targets[key.Name] {
			taken = append(taken, key.Name)
		}
		switch {
		case child == nil:
			w.cursor.Value()
		case child.hit:
			w.mask()
		default:
			if err := w.value(child); err != nil {
				return err
			}
		}
		last = w.cursor.Position()
		end = last
	}
	if err := w.cursor.Err(); err != nil {
		return err
	}
	keep(last)
	for _, name := range taken {
		if slices.Contains(given, name) {
			return relay.Poison("name-taken", "cannot rename a key to `%s`: the object has one of that name", name)
		}
	}
	return nil
}

// hits reads an array of which every element is masked, or removed.
func (w *walk) hits() {
	var start, end int
	for range w.cursor.Elements() {
		if !w.Remove {
			w.mask()
			continue
		}
		value := w.cursor.Value()
		if end = w.cursor.Position(); start == 0 {
			start = end - len(value)
		}
	}
	if start > 0 {
		w.edits.Put(start, end, "")
	}
}

func (w *walk) mask() {
	value := w.cursor.Value()
	if w.cursor.Err() == nil && value != string(w.Replace) {
		end := w.cursor.Position()
		w.edits.Put(end-len(value), end, string(w.Replace))
	}
}
