// stream NAME: read one time step a line, numbers with blanks between them, and write the outputs of each.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"recurrent"
)

// parse reads a line as the inputs of one time step.
func parse(line string, model *recurrent.Model) (recurrent.Inputs, error) {
	var numbers []float32
	var tokens []int64
	for _, word := range strings.Fields(line) {
		number, err := strconv.ParseFloat(word, 32)
		token, noInteger := strconv.ParseInt(word, 10, 64)
		if model.TokenIDs() {
			err = noInteger
		}
		if err != nil {
			return recurrent.Inputs{}, err
		}
		numbers, tokens = append(numbers, float32(number)), append(tokens, token)
	}
	if model.TokenIDs() {
		return recurrent.Tokens(tokens...), nil
	}
	return recurrent.Numbers(numbers...), nil
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
		inputs, err := parse(lines.Text(), model)
		if err != nil {
			return fmt.Errorf("line %d: %w", at, err)
		}
		outputs, err := session.Step(inputs)
		if err != nil {
			return fmt.Errorf("line %d: %w", at, err)
		}
		words := make([]string, len(outputs))
		for i, output := range outputs {
			words[i] = strconv.FormatFloat(float64(output), 'g', -1, 32)
		}
		fmt.Println(strings.Join(words, " "))
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
