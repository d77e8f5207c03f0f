package relay

// Edits is a copy of a text with pieces replaced, in the order of the text.
type Edits struct {
	text   string
	copied int
	out    []byte
}

// NewEdits starts a copy of that text.
func NewEdits(text string) *Edits { return &Edits{text: text} }

// Put writes another text between two offsets; end is not 0.
func (e *Edits) Put(start, end int, with string) {
	if e.copied == 0 {
		e.out = make([]byte, 0, len(e.text)+64)
	}
	e.out = append(append(e.out, e.text[e.copied:start]...), with...)
	e.copied = end
}

// Outcome is the event with the edited text as its payload; Pass if there was
// no edit.
func (e *Edits) Outcome() Outcome {
	// Every edit ends behind byte 0, so this means that there was none.
	if e.copied == 0 {
		return Pass
	}
	return Emit(Message{}.WithPayload(append(e.out, e.text[e.copied:]...)))
}
