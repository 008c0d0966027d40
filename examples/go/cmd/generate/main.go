// generate NAME PROMPT LENGTH SEED: continue a text, one character at a time, the state fed back.
package main

import (
	"fmt"
	"math"
	"os"
	"strconv"

	"recurrent"
)

const temperature = 0.6 // below 1: safer; above 1: wilder

// mulberry32 draws uniform numbers in [0, 1). Source: Tommy Ettinger's mulberry32, public domain.
func mulberry32(seed uint32) func() float64 {
	return func() float64 {
		seed += 0x6D2B79F5
		mixed := (seed ^ seed>>15) * (seed | 1)
		mixed ^= mixed + (mixed^mixed>>7)*(mixed|61)
		return float64(mixed^mixed>>14) / (1 << 32)
	}
}

// choose draws a token from the softmax of the logits, by where a uniform number falls in its sum.
func choose(logits []float32, uniform float64) int {
	largest, sum := math.Inf(-1), 0.0
	for _, logit := range logits {
		largest = math.Max(largest, float64(logit)/temperature)
	}
	cumulative := make([]float64, len(logits))
	for i, logit := range logits {
		sum += math.Exp(float64(logit)/temperature - largest)
		cumulative[i] = sum
	}
	for token, below := range cumulative {
		if below > uniform*sum {
			return token
		}
	}
	return len(logits) - 1
}

// encode gives the token id of each character.
func encode(text string, vocabulary []rune) ([]int64, error) {
	ids := make(map[rune]int64, len(vocabulary))
	for token, character := range vocabulary {
		ids[character] = int64(token)
	}
	var tokens []int64
	for _, character := range text {
		token, known := ids[character]
		if !known {
			return nil, fmt.Errorf("expected characters of %q, got %q", string(vocabulary), character)
		}
		tokens = append(tokens, token)
	}
	if tokens == nil {
		return nil, fmt.Errorf("expected a prompt of one or more characters, got none")
	}
	return tokens, nil
}

func generate(name, prompt string, length int, seed uint32) error {
	model, err := recurrent.Find(name)
	if err != nil {
		return err
	}
	vocabulary := []rune(model.Vocabulary())
	if len(vocabulary) == 0 || len(model.Outputs()) != 1 {
		return fmt.Errorf("expected a model with a vocabulary, got %s, which has none", name)
	}
	tokens, err := encode(prompt, vocabulary)
	if err != nil {
		return err
	}
	logits, state, err := model.Run(len(tokens), 1, recurrent.Tokens(tokens...), nil)
	if err != nil {
		return err
	}
	session, err := recurrent.NewSession(model, 1)
	if err != nil {
		return err
	}
	if err := session.Reset(state); err != nil {
		return err
	}
	fmt.Print(prompt)
	logits = logits[len(logits)-model.Outputs()[0].Size:] // of the last character
	uniform := mulberry32(seed)
	for i := 0; i < length; i++ {
		token := choose(logits, uniform())
		fmt.Print(string(vocabulary[token]))
		if logits, err = session.Step(recurrent.Tokens(int64(token))); err != nil {
			return err
		}
	}
	fmt.Println()
	return nil
}

func main() {
	if len(os.Args) == 5 {
		length, noLength := strconv.ParseUint(os.Args[3], 10, 31)
		seed, noSeed := strconv.ParseInt(os.Args[4], 10, 64)
		if noLength == nil && noSeed == nil {
			if err := generate(os.Args[1], os.Args[2], int(length), uint32(seed)); err != nil {
				fmt.Fprintln(os.Stderr, "error:", err)
				os.Exit(1)
			}
			return
		}
	}
	fmt.Fprintf(os.Stderr, "usage: %s NAME PROMPT LENGTH SEED\n", os.Args[0])
	os.Exit(2)
}
