package recurrent

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

// some gives inputs of the right type, valid as token ids.
func some(m *Model, rows int) Inputs {
	if m.tokenIDs {
		return Tokens(make([]int64, rows*m.inputSize)...)
	}
	numbers := make([]float32, rows*m.inputSize)
	for i := range numbers {
		numbers[i] = float32(i%7) / 7
	}
	return Numbers(numbers...)
}

func each(t *testing.T, test func(t *testing.T, m *Model)) {
	for _, m := range Models {
		m := m
		t.Run(m.name, func(t *testing.T) { test(t, m) })
	}
}

func TestWrongSizesAreErrors(t *testing.T) {
	each(t, func(t *testing.T, m *Model) {
		other := Numbers(make([]float32, 6*m.inputSize)...)
		if !m.tokenIDs {
			other = Tokens(make([]int64, 6*m.inputSize)...)
		}
		good := some(m, 6)
		calls := map[string]func() error{
			"no steps":    func() error { _, _, err := m.Run(0, 2, good, nil); return err },
			"no rows":     func() error { _, _, err := m.Run(3, 0, good, nil); return err },
			"too few":     func() error { _, _, err := m.Run(4, 2, good, nil); return err },
			"another":     func() error { _, _, err := m.Run(3, 2, other, nil); return err },
			"state":       func() error { _, _, err := m.Run(3, 2, good, make([]float32, 1)); return err },
			"many rows":   func() error { _, _, err := m.Run(1, math.MaxInt, good, nil); return err },
			"no session":  func() error { _, err := NewSession(m, 0); return err },
			"much memory": func() error { _, err := NewSession(m, math.MaxInt/2); return err },
		}
		for name, call := range calls {
			if call() == nil {
				t.Errorf("%s: expected an error, got none", name)
			}
		}
		if _, _, err := m.Run(3, 2, good, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestUnknownTokensAreErrors(t *testing.T) {
	each(t, func(t *testing.T, m *Model) {
		if m.vocabularySize == 0 {
			t.Skip("no token ids, or not known which there are")
		}
		session, err := NewSession(m, 2)
		if err != nil {
			t.Fatal(err)
		}
		before, end := append([]float32(nil), session.State()...), int64(m.vocabularySize)
		for _, id := range []int64{-1, end, math.MinInt64, math.MaxInt64} {
			_, err := session.Step(Tokens(0, id))
			var got *TokenError
			if !errors.As(err, &got) || *got != (TokenError{1, id, m.vocabularySize}) {
				t.Errorf("expected a TokenError at 1 for id %d, got %v", id, err)
			}
			if _, _, err := m.Run(2, 1, Tokens(0, id), nil); !errors.As(err, &got) {
				t.Errorf("expected a TokenError for id %d, got %v", id, err)
			}
		}
		if !reflect.DeepEqual(session.State(), before) {
			t.Error("expected the state as before, got another")
		}
		if _, err := session.Step(Tokens(0, end-1)); err != nil {
			t.Error(err)
		}
	})
}

func TestASessionGoesOnAndBack(t *testing.T) {
	each(t, func(t *testing.T, m *Model) {
		session, err := NewSession(m, 2)
		if err != nil {
			t.Fatal(err)
		}
		step := func() []float32 {
			outputs, err := session.Step(some(m, 2))
			if err != nil {
				t.Fatal(err)
			}
			return append([]float32(nil), outputs...)
		}
		one, after := step(), append([]float32(nil), session.State()...)
		two := step()
		if _, err := session.Step(some(m, 1)); err == nil {
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
		together, _, err := m.Run(1, 2, some(m, 2), nil)
		if err != nil {
			t.Fatal(err)
		}
		alone, _, err := m.Run(1, 1, some(m, 1), nil)
		if err != nil || !reflect.DeepEqual(alone, together[:m.outputSize]) {
			t.Errorf("expected the first row's bits alone, got others (%v)", err)
		}
	})
}
