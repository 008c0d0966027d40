package recurrent

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

// values gives values of the right kind, valid as token ids.
func values(tensor Tensor, count int) Inputs {
	switch tensor.Kind {
	case Int64:
		return Tokens(make([]int64, count)...)
	case Bool:
		return Truths(make([]bool, count)...)
	}
	numbers := make([]float32, count)
	for i := range numbers {
		numbers[i] = float32(i%7) / 7
	}
	return Numbers(numbers...)
}

// some gives inputs of a call.
func some(m *Model, steps, rows int) map[string]Inputs {
	inputs := map[string]Inputs{}
	for _, tensor := range m.inputs {
		inputs[tensor.Name] = values(tensor, tensor.count(steps, rows))
	}
	return inputs
}

// with gives the same, but for one tensor.
func with(inputs map[string]Inputs, name string, values Inputs) map[string]Inputs {
	inputs[name] = values
	return inputs
}

func each(t *testing.T, test func(t *testing.T, m *Model)) {
	for _, m := range Models {
		m := m
		t.Run(m.name, func(t *testing.T) { test(t, m) })
	}
}

func TestWrongSizesAreErrors(t *testing.T) {
	each(t, func(t *testing.T, m *Model) {
		one := m.inputs[0]
		other := Numbers(make([]float32, 6*one.Size)...)
		if one.Kind == Float32 {
			other = Tokens(make([]int64, 6*one.Size)...)
		}
		good, wrong, more := some(m, 3, 2), with(some(m, 3, 2), one.Name, other), with(some(m, 3, 2), "another", other)
		calls := map[string]func() error{
			"no steps":    func() error { _, _, err := m.RunAll(0, 2, good, nil); return err },
			"no rows":     func() error { _, _, err := m.RunAll(3, 0, good, nil); return err },
			"too few":     func() error { _, _, err := m.RunAll(4, 2, good, nil); return err },
			"wrong kind":  func() error { _, _, err := m.RunAll(3, 2, wrong, nil); return err },
			"more":        func() error { _, _, err := m.RunAll(3, 2, more, nil); return err },
			"none":        func() error { _, _, err := m.RunAll(3, 2, nil, nil); return err },
			"state":       func() error { _, _, err := m.RunAll(3, 2, good, make([]float32, 1)); return err },
			"many rows":   func() error { _, _, err := m.RunAll(1, math.MaxInt, good, nil); return err },
			"no session":  func() error { _, err := NewSession(m, 0); return err },
			"much memory": func() error { _, err := NewSession(m, math.MaxInt/2); return err },
		}
		for name, call := range calls {
			if call() == nil {
				t.Errorf("%s: expected an error, got none", name)
			}
		}
		if _, _, err := m.RunAll(3, 2, good, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestUnknownTokensAreErrors(t *testing.T) {
	each(t, func(t *testing.T, m *Model) {
		for _, tensor := range m.inputs {
			if tensor.VocabularySize > 0 {
				checkTokens(t, m, tensor)
			}
		}
	})
}

// bits gives a state for comparison: a truth value may look like NaN, which is unlike itself.
func bits(state []float32) []uint32 {
	var found []uint32
	for _, float := range state {
		found = append(found, math.Float32bits(float))
	}
	return found
}

func checkTokens(t *testing.T, m *Model, tensor Tensor) {
	session, err := NewSession(m, 2)
	if err != nil {
		t.Fatal(err)
	}
	before, end := bits(session.State()), int64(tensor.VocabularySize)
	for _, id := range []int64{-1, end, math.MinInt64, math.MaxInt64} {
		inputs := with(some(m, 1, 2), tensor.Name, Tokens(0, id))
		_, err := session.StepAll(inputs)
		var got *TokenError
		if !errors.As(err, &got) || *got != (TokenError{tensor.Name, 1, id, tensor.VocabularySize}) {
			t.Errorf("expected a TokenError at 1 for id %d, got %v", id, err)
		}
		if _, _, err := m.RunAll(1, 2, inputs, nil); !errors.As(err, &got) {
			t.Errorf("expected a TokenError for id %d, got %v", id, err)
		}
	}
	if !reflect.DeepEqual(bits(session.State()), before) {
		t.Error("expected the state as before, got another")
	}
	if _, err := session.StepAll(with(some(m, 1, 2), tensor.Name, Tokens(0, end-1))); err != nil {
		t.Error(err)
	}
}

func TestOneTensorNeedsNoName(t *testing.T) {
	each(t, func(t *testing.T, m *Model) {
		inputs := some(m, 3, 2)
		outputs, _, err := m.Run(3, 2, inputs[m.inputs[0].Name], nil)
		if m.checkOne() != nil {
			if err == nil {
				t.Error("expected an error for one tensor of several, got none")
			}
			return
		}
		named, _, _ := m.RunAll(3, 2, inputs, nil)
		if !reflect.DeepEqual(named[m.outputs[0].Name].Numbers, outputs) {
			t.Error("expected the same outputs with a name and without, got others")
		}
	})
}

func TestASessionGoesOnAndBack(t *testing.T) {
	each(t, func(t *testing.T, m *Model) {
		session, err := NewSession(m, 2)
		if err != nil {
			t.Fatal(err)
		}
		step := func() map[string]Outputs {
			outputs, err := session.StepAll(some(m, 1, 2))
			if err != nil {
				t.Fatal(err)
			}
			return outputs
		}
		one, after := step(), append([]float32(nil), session.State()...)
		two := step()
		if _, err := session.StepAll(some(m, 1, 1)); err == nil {
			t.Error("expected an error for one row of two, got none")
		}
		if err := session.Reset(after); err != nil || !reflect.DeepEqual(step(), two) {
			t.Errorf("expected the same second step from a state that was kept, got another (%v)", err)
		}
		if err := session.Reset(nil); err != nil || !reflect.DeepEqual(step(), one) {
			t.Errorf("expected the same first step after a reset, got another (%v)", err)
		}
		if session.Reset(after[1:]) == nil {
			t.Error("expected an error for a state that is too short, got none")
		}
	})
}

func TestARowIsTheSameInAnyBatch(t *testing.T) {
	each(t, func(t *testing.T, m *Model) {
		together, _, err := m.RunAll(1, 2, some(m, 1, 2), nil)
		if err != nil {
			t.Fatal(err)
		}
		alone, _, err := m.RunAll(1, 1, some(m, 1, 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range m.outputs {
			if !reflect.DeepEqual(alone[tensor.Name], head(together[tensor.Name], tensor)) {
				t.Errorf("%s: expected the first row's bits alone, got others", tensor.Name)
			}
		}
	})
}

// head gives the values of the first row.
func head(outputs Outputs, tensor Tensor) Outputs {
	switch tensor.Kind {
	case Int64:
		return Outputs{Tokens: outputs.Tokens[:tensor.Size]}
	case Bool:
		return Outputs{Truths: outputs.Truths[:tensor.Size]}
	default:
		return Outputs{Numbers: outputs.Numbers[:tensor.Size]}
	}
}
