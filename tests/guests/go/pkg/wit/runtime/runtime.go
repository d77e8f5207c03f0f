// Package wit_runtime gives memory to the host and to the bindings, under the
// names that `wit-bindgen go` 0.63 calls.
//
// It stands in for the package of the same path, which reaches into Go's
// runtime (`-checklinkname=0`) for allocations before that has started, and
// makes one garbage-collected object of each string. The WASI of this build
// (wasi_none.wat) allocates nothing, so the host never asks that early.
package wit_runtime

import (
	"runtime"
	"unsafe"
)

// Arguments are cut from blocks: a batch of events has hundreds of strings. A
// block lives while any string in it does, so what a transform remembers it
// should clone (strings.Clone).
const (
	block = 64 << 10
	large = block / 4
)

var (
	current []byte
	used    uintptr
	// What the host fills for the call being prepared; the collector does not
	// see the host's pointers.
	kept [][]byte
)

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("the host asked to resize an allocation")
	}
	if size == 0 {
		return nil
	}
	if size >= large {
		// Of this size Go aligns to a page.
		b := make([]byte, size)
		kept = append(kept, b)
		return unsafe.Pointer(unsafe.SliceData(b))
	}
	at := (used + align - 1) &^ (align - 1)
	if at+size > uintptr(len(current)) {
		current = make([]byte, block)
		kept = append(kept, current)
		at = 0
	}
	used = at + size
	return unsafe.Pointer(&current[at])
}

// Unpin is called once the arguments are Go values, which keep them alive.
func Unpin() {
	clear(kept)
	kept = kept[:0]
}

// Allocate makes room for a result, pinned until the host has read it.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Whole words of 8 bytes are aligned for anything in the canonical ABI.
	p := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	pinner.Pin(p)
	return p
}
