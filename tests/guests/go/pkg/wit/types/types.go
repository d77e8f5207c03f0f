// Package wit_types has the two generic types that the bindings of this
// contract use, under the names that `wit-bindgen go` 0.63 gives them.
package wit_types

const (
	OptionNone uint8 = iota
	OptionSome
)

// Option is none as its zero value.
type Option[T any] struct {
	tag   uint8
	value T
}

func None[T any]() Option[T]        { return Option[T]{} }
func Some[T any](value T) Option[T] { return Option[T]{OptionSome, value} }

func (o Option[T]) Tag() uint8   { return o.tag }
func (o Option[T]) IsSome() bool { return o.tag == OptionSome }
func (o Option[T]) IsNone() bool { return o.tag == OptionNone }

func (o Option[T]) Some() T {
	if o.tag != OptionSome {
		panic("the option is none")
	}
	return o.value
}

func (o Option[T]) SomeOr(value T) T {
	if o.tag != OptionSome {
		return value
	}
	return o.value
}

const (
	ResultOk uint8 = iota
	ResultErr
)

type Result[T, E any] struct {
	tag uint8
	ok  T
	err E
}

func Ok[T, E any](value T) Result[T, E]  { return Result[T, E]{tag: ResultOk, ok: value} }
func Err[T, E any](value E) Result[T, E] { return Result[T, E]{tag: ResultErr, err: value} }

func (r Result[T, E]) Tag() uint8  { return r.tag }
func (r Result[T, E]) IsOk() bool  { return r.tag == ResultOk }
func (r Result[T, E]) IsErr() bool { return r.tag == ResultErr }

func (r Result[T, E]) Ok() T {
	if r.tag != ResultOk {
		panic("the result is an error")
	}
	return r.ok
}

func (r Result[T, E]) Err() E {
	if r.tag != ResultErr {
		panic("the result is not an error")
	}
	return r.err
}
