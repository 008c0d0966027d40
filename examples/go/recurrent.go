// Package recurrent runs recurrent nets from bundles' model.c: whole sequences, or a stream step by step.
//
// Any number of goroutines may call at a time, each with a session of its own.
package recurrent

import (
	"fmt"
	"unsafe"
)

const maxFloats = 1 << 28 // of a session: 1 GiB

// A Model is a recurrent net, compiled into this program.
type Model struct {
	name            string
	inputs, outputs []Tensor
	stateSize       int // floats for each row
	vocabulary      string
	run             func(steps, batch int, inputs []unsafe.Pointer, stateIn *float32, outputs []unsafe.Pointer, stateOut *float32)
	initialState    func(batch int, state *float32)
}

// A Kind is what a tensor holds.
type Kind int

// The kinds of tensors: of float32, of int64 such as token ids, of truth values.
const (
	Float32 Kind = iota
	Int64
	Bool
)

func (k Kind) String() string { return [...]string{"numbers", "token ids", "truth values"}[k] }

// A Tensor is an input or an output of a net.
type Tensor struct {
	Name           string
	Kind           Kind
	Size           int  // values for each row, and for each time step if it has such
	EveryStep      bool // one of every time step; else the same for a whole call, or what the last time step gives
	VocabularySize int  // token ids are 0 to one less; 0: not known, or no ids
}

// count is how many values a call has of a tensor; the sizes were checked.
func (t *Tensor) count(steps, batch int) int {
	if !t.EveryStep {
		steps = 1
	}
	return steps * batch * t.Size
}

// Inputs are the values of one tensor: Numbers, Tokens or Truths.
type Inputs struct {
	kind    Kind
	numbers []float32
	tokens  []int64
	truths  []bool
}

// Numbers are inputs of float32.
func Numbers(values ...float32) Inputs { return Inputs{kind: Float32, numbers: values} }

// Tokens are inputs of int64, such as token ids.
func Tokens(values ...int64) Inputs { return Inputs{kind: Int64, tokens: values} }

// Truths are inputs of truth values.
func Truths(values ...bool) Inputs { return Inputs{kind: Bool, truths: values} }

func (i Inputs) count() int { return len(i.numbers) + len(i.tokens) + len(i.truths) }

// Outputs are the values of one tensor, in the field of its kind.
type Outputs struct {
	Numbers []float32
	Tokens  []int64
	Truths  []bool
}

// A TokenError says that a token id is not in the model's vocabulary.
type TokenError struct {
	Name           string // of the tensor
	At             int    // its place in the inputs
	ID             int64  // the id
	VocabularySize int    // ids are 0 to one less
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("%s[%d]: expected a token id from 0 to %d, got %d", e.Name, e.At, e.VocabularySize-1, e.ID)
}

// Find gives the model with a name.
func Find(name string) (*Model, error) {
	for _, model := range Models {
		if model.name == name {
			return model, nil
		}
	}
	return nil, fmt.Errorf("expected a model of models.go, got %q", name)
}

// Name is that of the model's folder.
func (m *Model) Name() string { return m.name }

// Inputs are what goes in beside the state, in the manifest's order.
func (m *Model) Inputs() []Tensor { return m.inputs }

// Outputs are what comes out beside it.
func (m *Model) Outputs() []Tensor { return m.outputs }

// Vocabulary has the character of each token id; it is empty if this is not a text model.
func (m *Model) Vocabulary() string { return m.vocabulary }

// firstState gives what a sequence of a batch that was checked begins with.
func (m *Model) firstState(batch int) []float32 {
	state := make([]float32, batch*m.stateSize)
	m.initialState(batch, first(state))
	return state
}

// Run runs some time steps of a batch: inputs [time, batch, Size] and outputs [time, batch, Size], both with the axes in
// the model's own order. A nil state is the initial one; the new state is returned. It is for a model of one tensor of
// inputs and one of outputs, which are float32.
func (m *Model) Run(steps, batch int, inputs Inputs, state []float32) (outputs, newState []float32, err error) {
	if err := m.checkOne(); err != nil {
		return nil, nil, err
	}
	rooms, newState, err := m.runInOrder(steps, batch, []Inputs{inputs}, state)
	if err != nil {
		return nil, nil, err
	}
	return rooms[0].numbers, newState, nil
}

// RunAll is the same of any model: inputs and outputs by name.
func (m *Model) RunAll(steps, batch int, inputs map[string]Inputs, state []float32) (map[string]Outputs, []float32, error) {
	given, err := m.inOrder(inputs)
	if err != nil {
		return nil, nil, err
	}
	rooms, newState, err := m.runInOrder(steps, batch, given, state)
	if err != nil {
		return nil, nil, err
	}
	return m.byName(rooms), newState, nil
}

func (m *Model) runInOrder(steps, batch int, inputs []Inputs, state []float32) ([]room, []float32, error) {
	if steps < 1 || batch < 1 {
		return nil, nil, fmt.Errorf("expected at least one time step of one row, got %d of %d", steps, batch)
	}
	if err := m.check(steps, batch, inputs); err != nil {
		return nil, nil, err
	}
	if state == nil {
		state = m.firstState(batch)
	}
	if len(state) != batch*m.stateSize {
		return nil, nil, fmt.Errorf("state: expected %d floats for each of %d rows, got %d", m.stateSize, batch, len(state))
	}
	rooms, newState := m.rooms(steps, batch), make([]float32, len(state))
	m.run(steps, batch, pointers(nil, inputs), first(state), places(rooms), first(newState))
	return rooms, newState, nil
}

func (m *Model) checkOne() error {
	if len(m.inputs) == 1 && len(m.outputs) == 1 && m.outputs[0].Kind == Float32 {
		return nil
	}
	return fmt.Errorf("expected a model of one tensor of inputs and one of float32 outputs, got %d and %d: pass them by name",
		len(m.inputs), len(m.outputs))
}

// inOrder puts inputs in the manifest's order.
func (m *Model) inOrder(inputs map[string]Inputs) ([]Inputs, error) {
	given := make([]Inputs, len(m.inputs))
	for k, tensor := range m.inputs {
		values, there := inputs[tensor.Name]
		if !there {
			return nil, fmt.Errorf("expected a tensor called %s, got none", tensor.Name)
		}
		given[k] = values
	}
	if len(inputs) != len(given) {
		return nil, fmt.Errorf("expected %d tensors, got %d", len(given), len(inputs))
	}
	return given, nil
}

func (m *Model) check(steps, batch int, inputs []Inputs) error {
	for k := range m.inputs {
		if err := m.inputs[k].check(steps, batch, inputs[k]); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tensor) check(steps, batch int, inputs Inputs) error {
	if !t.EveryStep {
		steps = 1
	}
	// Divided, not multiplied: a product of sizes that came from outside may overflow.
	if got := inputs.count(); inputs.kind != t.Kind || got/steps/batch != t.Size || got%(steps*batch) != 0 {
		return fmt.Errorf("%s: expected %d %s for each of %d time steps of %d rows, got %d %s",
			t.Name, t.Size, t.Kind, steps, batch, got, inputs.kind)
	}
	if t.VocabularySize == 0 {
		return nil
	}
	for at, id := range inputs.tokens {
		if id < 0 || id >= int64(t.VocabularySize) {
			return &TokenError{t.Name, at, id, t.VocabularySize}
		}
	}
	return nil
}

// A room is where C writes an output: truth values are int32 there.
type room struct {
	kind    Kind
	numbers []float32
	tokens  []int64
	truths  []int32
}

func (m *Model) rooms(steps, batch int) []room {
	rooms := make([]room, len(m.outputs))
	for k := range m.outputs {
		count := m.outputs[k].count(steps, batch)
		switch rooms[k].kind = m.outputs[k].Kind; rooms[k].kind {
		case Int64:
			rooms[k].tokens = make([]int64, count)
		case Bool:
			rooms[k].truths = make([]int32, count)
		default:
			rooms[k].numbers = make([]float32, count)
		}
	}
	return rooms
}

// places gives the addresses of rooms.
func places(rooms []room) []unsafe.Pointer {
	found := make([]unsafe.Pointer, len(rooms))
	for k := range rooms {
		found[k] = address(rooms[k].kind, rooms[k].numbers, rooms[k].tokens, rooms[k].truths)
	}
	return found
}

// pointers gives the addresses of inputs as C takes them, in a slice that may be used again: a true one is -1.
func pointers(found []unsafe.Pointer, inputs []Inputs) []unsafe.Pointer {
	found = found[:0]
	for _, given := range inputs {
		var truths []int32
		for _, truth := range given.truths {
			value := int32(0)
			if truth {
				value = -1
			}
			truths = append(truths, value)
		}
		found = append(found, address(given.kind, given.numbers, given.tokens, truths))
	}
	return found
}

func address(kind Kind, numbers []float32, tokens []int64, truths []int32) unsafe.Pointer {
	switch kind {
	case Int64:
		return unsafe.Pointer(first(tokens))
	case Bool:
		return unsafe.Pointer(first(truths))
	default:
		return unsafe.Pointer(first(numbers))
	}
}

// byName copies what lies in rooms.
func (m *Model) byName(rooms []room) map[string]Outputs {
	outputs := make(map[string]Outputs, len(rooms))
	for k, one := range rooms {
		var truths []bool
		for _, value := range one.truths {
			truths = append(truths, value != 0)
		}
		outputs[m.outputs[k].Name] = Outputs{append([]float32(nil), one.numbers...), append([]int64(nil), one.tokens...), truths}
	}
	return outputs
}

// A Session is a sequence of time steps for some rows, and the state in between. It belongs to one goroutine at a time.
type Session struct {
	model         *Model
	batch         int
	state         []float32
	rooms         []room
	given, places []unsafe.Pointer // of the inputs and of the rooms
}

// NewSession begins in the initial state; its rows take a GiB at the most.
func NewSession(model *Model, batch int) (*Session, error) {
	if batch < 1 {
		return nil, fmt.Errorf("expected a batch of at least one row, got %d", batch)
	}
	// make panics, or the program ends, where there is not that much memory.
	floats := model.stateSize
	for _, output := range model.outputs {
		floats += 2 * output.Size // of 32 or 64 bits
	}
	if limit := maxFloats / floats; batch > limit {
		return nil, fmt.Errorf("expected a batch of at most %d rows, got %d", limit, batch)
	}
	rooms := model.rooms(1, batch)
	return &Session{model, batch, model.firstState(batch), rooms, nil, places(rooms)}, nil
}

// Step takes one time step: inputs [batch, Size] to outputs [batch, Size], which are the session's own and stay until the
// next call. After an error the state is as before. It is for a model of one tensor of inputs and one of outputs, which
// are float32.
func (s *Session) Step(inputs Inputs) ([]float32, error) {
	if err := s.model.checkOne(); err != nil {
		return nil, err
	}
	if err := s.advance([]Inputs{inputs}); err != nil {
		return nil, err
	}
	return s.rooms[0].numbers, nil
}

// StepAll is the same of any model, by name; what is the same for a whole call goes into every step.
func (s *Session) StepAll(inputs map[string]Inputs) (map[string]Outputs, error) {
	given, err := s.model.inOrder(inputs)
	if err == nil {
		err = s.advance(given)
	}
	if err != nil {
		return nil, err
	}
	return s.model.byName(s.rooms), nil
}

func (s *Session) advance(inputs []Inputs) error {
	if err := s.model.check(1, s.batch, inputs); err != nil {
		return err
	}
	s.given = pointers(s.given, inputs)
	s.model.run(1, s.batch, s.given, first(s.state), s.places, first(s.state))
	return nil
}

// Reset goes on from a state, or from the initial one if it is nil.
func (s *Session) Reset(state []float32) error {
	if state == nil {
		state = s.model.firstState(s.batch)
	}
	if len(state) != len(s.state) {
		return fmt.Errorf("state: expected %d floats, got %d", len(s.state), len(state))
	}
	copy(s.state, state)
	return nil
}

// State is the state after the last step; copy it to keep it.
func (s *Session) State() []float32 { return s.state }

// first points to the numbers of a slice. (unsafe.SliceData is newer than Go 1.19.)
func first[Number float32 | int64 | int32](values []Number) *Number {
	if len(values) == 0 {
		return nil
	}
	return &values[0]
}
