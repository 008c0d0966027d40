// stream NAME: read one time step a line, numbers with blanks between them, and write the outputs of each.
//
// Of several inputs the numbers stand one after another, in the manifest's order; truth values are 0 and 1.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"recurrent"
)

// parse reads the words of one tensor.
func parse(words []string, kind recurrent.Kind) (recurrent.Inputs, error) {
	var numbers []float32
	var tokens []int64
	var truths []bool
	for _, word := range words {
		number, err := strconv.ParseFloat(word, 32)
		token, noInteger := strconv.ParseInt(word, 10, 64)
		if kind != recurrent.Float32 {
			err = noInteger
		}
		if kind == recurrent.Bool && token != 0 && token != 1 {
			err = fmt.Errorf("expected 0 or 1, got %s", word)
		}
		if err != nil {
			return recurrent.Inputs{}, err
		}
		numbers, tokens, truths = append(numbers, float32(number)), append(tokens, token), append(truths, token == 1)
	}
	switch kind {
	case recurrent.Int64:
		return recurrent.Tokens(tokens...), nil
	case recurrent.Bool:
		return recurrent.Truths(truths...), nil
	default:
		return recurrent.Numbers(numbers...), nil
	}
}

// read reads a line as the inputs of one time step.
func read(line string, model *recurrent.Model) (map[string]recurrent.Inputs, error) {
	step, words, expected := map[string]recurrent.Inputs{}, strings.Fields(line), 0
	for _, tensor := range model.Inputs() {
		expected += tensor.Size
	}
	if len(words) != expected {
		return nil, fmt.Errorf("expected %d numbers, got %d", expected, len(words))
	}
	for _, tensor := range model.Inputs() {
		inputs, err := parse(words[:tensor.Size], tensor.Kind)
		if err != nil {
			return nil, err
		}
		step[tensor.Name], words = inputs, words[tensor.Size:]
	}
	return step, nil
}

// written gives the words of the outputs of one time step.
func written(model *recurrent.Model, outputs map[string]recurrent.Outputs) []string {
	var words []string
	for _, tensor := range model.Outputs() {
		values := outputs[tensor.Name]
		for _, number := range values.Numbers {
			words = append(words, strconv.FormatFloat(float64(number), 'g', -1, 32))
		}
		for _, token := range values.Tokens {
			words = append(words, strconv.FormatInt(token, 10))
		}
		for _, truth := range values.Truths {
			words = append(words, map[bool]string{false: "0", true: "1"}[truth])
		}
	}
	return words
}

func stream(name string) error {
	model, err := recurrent.Find(name)
	if err != nil {
		return err
	}
	session, err := recurrent.NewSession(model, 1)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	for at := 1; lines.Scan(); at++ {
		inputs, err := read(lines.Text(), model)
		if err != nil {
			return fmt.Errorf("line %d: %w", at, err)
		}
		outputs, err := session.StepAll(inputs)
		if err != nil {
			return fmt.Errorf("line %d: %w", at, err)
		}
		fmt.Println(strings.Join(written(model, outputs), " "))
	}
	return lines.Err()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintf(os.Stderr, "usage: %s NAME < STEPS\n", os.Args[0])
		os.Exit(2)
	}
	if err := stream(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
