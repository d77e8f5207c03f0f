//go:build wasip1

package relay

import (
	"strings"
	"unsafe"
)

// The world `transform` of relay:transform@1.0.0 in the canonical ABI of the
// component model: what a bindings generator would make. It is written by hand
// because the contract is frozen for all of 1.x, and because this package is
// then an ordinary one: generated bindings want the transform inside one of
// their own packages, and a project would need the generator. The layouts are those of ../../c/sdk/abi.c, which a test
// compares with generated ones.
//
// The host's pointers have 32 bits and the collector does not see them: what
// they lead to is kept alive by `given` and `taken`.

type abiList struct{ ptr, len uint32 }

type abiOption struct {
	some  bool
	value abiList
}

type abiHeader struct {
	name  abiList
	value abiOption
}

type abiEvent struct {
	id                   abiList
	commit, index        uint64
	time                 int64
	operation            uint8
	entity, eventType    abiList
	topic                abiList
	key, payload, before abiOption
	unchanged, headers   abiList
}

type abiContent struct {
	some  bool
	tag   uint32
	value abiList
}

const contentBytes = 2

type abiMessage struct {
	id, eventType, topic abiOption
	partition            struct {
		some  bool
		value uint32
	}
	key, payload abiContent
	headers      struct {
		some           bool
		remove, append abiList
	}
}

type abiOutcome struct {
	tag uint8
	// drop: an option; emit: a list; fail: kind, code, detail.
	value [5]uint32
}

const (
	outcomePass = iota
	outcomeDrop
	outcomeEmit
	outcomeFail
)

// A layout that is not the contract's does not compile.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(abiEvent{})-112]
	_ = [1]struct{}{}[unsafe.Offsetof(abiEvent{}.commit)-8]
	_ = [1]struct{}{}[unsafe.Offsetof(abiEvent{}.entity)-36]
	_ = [1]struct{}{}[unsafe.Offsetof(abiEvent{}.headers)-104]
	_ = [1]struct{}{}[unsafe.Sizeof(abiHeader{})-20]
	_ = [1]struct{}{}[unsafe.Sizeof(abiContent{})-16]
	_ = [1]struct{}{}[unsafe.Sizeof(abiMessage{})-96]
	_ = [1]struct{}{}[unsafe.Offsetof(abiMessage{}.key)-44]
	_ = [1]struct{}{}[unsafe.Offsetof(abiMessage{}.headers)-76]
	_ = [1]struct{}{}[unsafe.Sizeof(abiOutcome{})-24]
)

// --- Memory -----------------------------------------------------------------

// Arguments are cut from blocks: a batch of events has hundreds of strings.
const (
	blockSize = 64 << 10
	largeSize = blockSize / 4
)

var (
	block []byte
	used  uintptr
	// given is what the host fills for the call being prepared, taken what it
	// reads after one.
	given [][]byte
	taken []unsafe.Pointer
)

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("the host asked to resize an allocation")
	}
	if size == 0 {
		return nil
	}
	if size >= largeSize {
		// Of this size Go aligns to a page.
		b := make([]byte, size)
		given = append(given, b)
		return unsafe.Pointer(unsafe.SliceData(b))
	}
	at := (used + align - 1) &^ (align - 1)
	if at+size > uintptr(len(block)) {
		// The full one may have arguments of this call.
		given = append(given, block)
		block = make([]byte, blockSize)
		at = 0
	}
	used = at + size
	return unsafe.Pointer(&block[at])
}

// release lets the collector have what only the host needed.
func release() {
	clear(given)
	clear(taken)
	given, taken = given[:0], taken[:0]
}

func pointer[T any](address uint32) *T { return (*T)(unsafe.Pointer(uintptr(address))) }

func slice[T any](list abiList) []T { return unsafe.Slice(pointer[T](list.ptr), list.len) }

func lend[T any](values []T) abiList {
	if len(values) == 0 {
		return abiList{}
	}
	at := unsafe.Pointer(unsafe.SliceData(values))
	taken = append(taken, at)
	return abiList{uint32(uintptr(at)), uint32(len(values))}
}

func lendString(s string) abiList { return lend(bytesOf(s)) }

// --- Events -----------------------------------------------------------------

func (l abiList) string() string {
	if l.len == 0 {
		return ""
	}
	return unsafe.String(pointer[byte](l.ptr), l.len)
}

func (o abiOption) bytes() []byte {
	switch {
	case !o.some:
		return nil
	case o.value.len == 0:
		return []byte{}
	}
	return slice[byte](o.value)
}

func (e *abiEvent) lift() *Event {
	event := &Event{
		ID:        e.id.string(),
		Position:  Position{e.commit, e.index},
		Time:      e.time,
		Operation: operations[e.operation],
		Entity:    e.entity.string(),
		EventType: e.eventType.string(),
		Topic:     e.topic.string(),
		Key:       e.key.bytes(),
		Payload:   e.payload.bytes(),
		Before:    e.before.bytes(),
	}
	if e.unchanged.len > 0 {
		event.Unchanged = make([]string, e.unchanged.len)
		for i, name := range slice[abiList](e.unchanged) {
			event.Unchanged[i] = name.string()
		}
	}
	if e.headers.len > 0 {
		event.Headers = make([]Header, e.headers.len)
		for i, header := range slice[abiHeader](e.headers) {
			event.Headers[i] = Header{header.name.string(), header.value.bytes()}
		}
	}
	return event
}

// --- Outcomes ---------------------------------------------------------------

func lowerText(text option[string]) abiOption {
	return abiOption{text.some, lendString(text.value)}
}

func lowerContent(content option[[]byte]) abiContent {
	if !content.some || content.value == nil {
		return abiContent{some: content.some}
	}
	return abiContent{true, contentBytes, lend(content.value)}
}

func (m *Message) lower() (to abiMessage) {
	to.id, to.eventType, to.topic = lowerText(m.id), lowerText(m.eventType), lowerText(m.topic)
	to.partition.some, to.partition.value = m.partition.some, m.partition.value
	to.key, to.payload = lowerContent(m.key), lowerContent(m.payload)
	if len(m.remove)+len(m.append) == 0 {
		return to
	}
	remove, appended := make([]abiList, len(m.remove)), make([]abiHeader, len(m.append))
	for i, name := range m.remove {
		remove[i] = lendString(name)
	}
	for i, header := range m.append {
		appended[i] = abiHeader{lendString(header.Name), abiOption{header.Value != nil, lend(header.Value)}}
	}
	to.headers.some, to.headers.remove, to.headers.append = true, lend(remove), lend(appended)
	return to
}

func lower(outcome Outcome, failure *Failure) (to abiOutcome) {
	switch outcome := outcome.(type) {
	case drop:
		reason := lowerText(outcome.reason)
		to.tag = outcomeDrop
		if reason.some {
			to.value = [5]uint32{1, reason.value.ptr, reason.value.len}
		}
	case emit:
		messages := make([]abiMessage, len(outcome.messages))
		for i := range outcome.messages {
			messages[i] = outcome.messages[i].lower()
		}
		list := lend(messages)
		to.tag, to.value = outcomeEmit, [5]uint32{list.ptr, list.len}
	}
	if failure != nil {
		// The host traps at text that is not UTF-8.
		code := lendString(strings.ToValidUTF8(failure.Code, "\uFFFD"))
		detail := lendString(strings.ToValidUTF8(failure.Detail, "\uFFFD"))
		to.tag, to.value = outcomeFail, [5]uint32{0, code.ptr, code.len, detail.ptr, detail.len}
		if failure.Halt {
			to.value[0] = 1
		}
	}
	return to
}

// --- Exports ----------------------------------------------------------------

// The resources that the host holds, by their handles' representation.
var (
	transforms = map[uint32]Transform{}
	last       uint32
	// Index of the event being processed, for log lines; -1 for none.
	current = int64(-1)
	// What the host reads after a call.
	returned [3]uint32
)

//go:wasmimport [export]relay:transform/transformer@1.0.0 [resource-new]transform
func resourceNew(self uint32) uint32

//go:wasmimport relay:transform/host@1.0.0 log
func importLog(level uint32, ptr unsafe.Pointer, len uint32, some uint32, event uint32)

func hostLog(level uint8, line string) {
	some := uint32(1)
	if current < 0 {
		some = 0
	}
	importLog(uint32(level), unsafe.Pointer(unsafe.StringData(line)), uint32(len(line)), some, uint32(current))
}

//go:wasmexport relay:transform/transformer@1.0.0#[static]transform.create
func exportCreate(ptr, len uint32) unsafe.Pointer {
	// A copy: what settings become lives longer than the block.
	settings := strings.Clone(abiList{ptr, len}.string())
	transform, err := createSafely(settings)
	if err != nil {
		why := lendString(strings.ToValidUTF8(err.Error(), "\uFFFD"))
		returned = [3]uint32{1, why.ptr, why.len}
	} else {
		last++
		transforms[last] = transform
		returned = [3]uint32{0, resourceNew(last)}
	}
	return unsafe.Pointer(&returned)
}

//go:wasmexport cabi_post_relay:transform/transformer@1.0.0#[static]transform.create
func exportCreateDone(unsafe.Pointer) { release() }

//go:wasmexport relay:transform/transformer@1.0.0#[dtor]transform
func exportDestroy(self uint32) { delete(transforms, self) }

//go:wasmexport relay:transform/transformer@1.0.0#[method]transform.unused
func exportUnused(self uint32) uint32 {
	reader, ok := transforms[self].(Reader)
	if !ok {
		return 0
	}
	flags := uint32(0)
	unused := reader.Unused()
	for bit, unused := range []bool{unused.Payload, unused.Before, unused.Headers} {
		if unused {
			flags |= 1 << bit
		}
	}
	return flags
}

//go:wasmexport relay:transform/transformer@1.0.0#[method]transform.process
func exportProcess(self, ptr, len uint32) unsafe.Pointer {
	transform := transforms[self]
	events := slice[abiEvent](abiList{ptr, len})
	outcomes := make([]abiOutcome, len)
	for i := range events {
		current = int64(i)
		outcomes[i] = lower(apply(transform, events[i].lift()))
	}
	current = -1
	list := lend(outcomes)
	returned = [3]uint32{list.ptr, list.len}
	return unsafe.Pointer(&returned)
}

//go:wasmexport cabi_post_relay:transform/transformer@1.0.0#[method]transform.process
func exportProcessDone(unsafe.Pointer) { release() }
