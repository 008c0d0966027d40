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
	name                             string
	tokenIDs                         bool // the inputs are int64 token ids, not floats
	inputSize, outputSize, stateSize int  // numbers for each row and time step; of the state: floats for each row
	everyStep                        bool // outputs of every time step, not of the last one alone
	vocabularySize                   int  // token ids are 0 to one less; 0: not known, or no ids
	vocabulary                       string
	run                              func(steps, batch int, inputs unsafe.Pointer, stateIn, outputs, stateOut *float32)
	initialState                     func(batch int, state *float32)
}

// Inputs are numbers of either type: Numbers or Tokens.
type Inputs struct {
	numbers []float32
	tokens  []int64
}

// Numbers are the inputs of a net that takes float32.
func Numbers(values ...float32) Inputs { return Inputs{numbers: values} }

// Tokens are the inputs of a net that takes token ids.
func Tokens(values ...int64) Inputs { return Inputs{tokens: values} }

// A TokenError says that a token id is not in the model's vocabulary.
type TokenError struct {
	At             int   // its place in the inputs
	ID             int64 // the id
	VocabularySize int   // ids are 0 to one less
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("inputs[%d]: expected a token id from 0 to %d, got %d", e.At, e.VocabularySize-1, e.ID)
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

// TokenIDs tells whether inputs are Tokens.
func (m *Model) TokenIDs() bool { return m.tokenIDs }

// InputSize is how many numbers each row and time step has.
func (m *Model) InputSize() int { return m.inputSize }

// OutputSize is the same of the outputs.
func (m *Model) OutputSize() int { return m.outputSize }

// VocabularySize is how many token ids there are, from 0 on; it is 0 if that is not known, or if the inputs are none.
func (m *Model) VocabularySize() int { return m.vocabularySize }

// Vocabulary has the character of each token id; it is empty if this is not a text model.
func (m *Model) Vocabulary() string { return m.vocabulary }

// firstState gives what a sequence of a batch that was checked begins with.
func (m *Model) firstState(batch int) []float32 {
	state := make([]float32, batch*m.stateSize)
	m.initialState(batch, first(state))
	return state
}

// Run runs some time steps of a batch: inputs [time, batch, InputSize] and outputs [time, batch, OutputSize], both with
// the axes in the model's own order. A nil state is the initial one; the new state is returned.
func (m *Model) Run(steps, batch int, inputs Inputs, state []float32) (outputs, newState []float32, err error) {
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
	rows := batch
	if m.everyStep {
		rows = steps * batch
	}
	outputs, newState = make([]float32, rows*m.outputSize), make([]float32, len(state))
	m.call(steps, batch, inputs, state, outputs, newState)
	return outputs, newState, nil
}

func (m *Model) check(steps, batch int, inputs Inputs) error {
	got, kind := len(inputs.numbers), "numbers"
	if m.tokenIDs {
		got, kind = len(inputs.tokens), "token ids"
	}
	// Divided, not multiplied: a product of sizes that came from outside may overflow.
	if got/steps/batch != m.inputSize || got%(steps*batch) != 0 || len(inputs.numbers)+len(inputs.tokens) != got {
		return fmt.Errorf("inputs: expected %d %s for each of %d time steps of %d rows, got %d numbers and %d token ids",
			m.inputSize, kind, steps, batch, len(inputs.numbers), len(inputs.tokens))
	}
	if m.vocabularySize == 0 {
		return nil
	}
	for at, id := range inputs.tokens {
		if id < 0 || id >= int64(m.vocabularySize) {
			return &TokenError{at, id, m.vocabularySize}
		}
	}
	return nil
}

func (m *Model) call(steps, batch int, inputs Inputs, state, outputs, newState []float32) {
	values := unsafe.Pointer(first(inputs.numbers))
	if m.tokenIDs {
		values = unsafe.Pointer(first(inputs.tokens))
	}
	m.run(steps, batch, values, first(state), first(outputs), first(newState))
}

// A Session is a sequence of time steps for some rows, and the state in between. It belongs to one goroutine at a time.
type Session struct {
	model          *Model
	batch          int
	state, outputs []float32
}

// NewSession begins in the initial state; its rows take a GiB at the most.
func NewSession(model *Model, batch int) (*Session, error) {
	if batch < 1 {
		return nil, fmt.Errorf("expected a batch of at least one row, got %d", batch)
	}
	// make panics, or the program ends, where there is not that much memory.
	if limit := maxFloats / (model.stateSize + model.outputSize); batch > limit {
		return nil, fmt.Errorf("expected a batch of at most %d rows, got %d", limit, batch)
	}
	return &Session{model, batch, model.firstState(batch), make([]float32, batch*model.outputSize)}, nil
}

// Step takes one time step: inputs [batch, InputSize] to outputs [batch, OutputSize], which are the session's own and
// stay until the next call. After an error the state is as before.
func (s *Session) Step(inputs Inputs) ([]float32, error) {
	if err := s.model.check(1, s.batch, inputs); err != nil {
		return nil, err
	}
	s.model.call(1, s.batch, inputs, s.state, s.outputs, s.state)
	return s.outputs, nil
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
func first[Number float32 | int64](values []Number) *Number {
	if len(values) == 0 {
		return nil
	}
	return &values[0]
}
