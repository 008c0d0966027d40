// golden FOLDER...: run golden vectors, whole and step by step, and compare with eager PyTorch's results.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"time"
	"unsafe"

	"recurrent"
)

const rounds, stepsOfRound = 11, 1000
const formatVersion = 2 // of manifest.json

type spec struct {
	Name       string `json:"name"`
	OutputName string `json:"output_name"`
	Shape      []any  `json:"shape"`
}

type signature struct {
	Inputs  []spec `json:"inputs"`
	State   []spec `json:"state"`
	Outputs []spec `json:"outputs"`
}

type entry struct {
	DType  string `json:"dtype"`
	Shape  []int  `json:"shape"`
	Offset int    `json:"offset"`
}

type vector struct {
	Name      string             `json:"name"`
	Kind      string             `json:"kind"`
	Time      int                `json:"time"`
	Batch     int                `json:"batch"`
	Call      map[string]entry   `json:"call"`
	Float64   map[string]entry   `json:"float64"`
	Tolerance map[string]float64 `json:"tolerance"`
}

// bundle is what a folder says of a net, and the errors that were found so far.
type bundle struct {
	model          *recurrent.Model
	inputs, result spec
	leaves         []spec
	cases          []vector
	tensors        []byte
	worst, share   float64
	problem        error
}

func readJSON(path string, to any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, to); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readSignature reads a manifest: that of a net that takes one tensor of inputs and gives one of outputs.
func readSignature(path string) (*signature, error) {
	var manifest struct {
		FormatVersion int             `json:"format_version"`
		Signature     json.RawMessage `json:"signature"`
	}
	if err := readJSON(path, &manifest); err != nil {
		return nil, err
	}
	if manifest.FormatVersion != formatVersion {
		return nil, fmt.Errorf("%s: expected manifest format %d, got %d; export and scaffold with one rnn-export",
			path, formatVersion, manifest.FormatVersion)
	}
	var found signature
	if err := json.Unmarshal(manifest.Signature, &found); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if inputs, outputs := len(found.Inputs), len(found.Outputs); inputs != 1 || outputs != 1 {
		return nil, fmt.Errorf("%s: expected one tensor of inputs and one of outputs, got %d and %d; "+
			"call its files as report.html shows", path, inputs, outputs)
	}
	return &found, nil
}

func open(folder string) (*bundle, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	model, err := recurrent.Find(filepath.Base(absolute))
	if err != nil {
		return nil, err
	}
	signature, err := readSignature(filepath.Join(folder, "manifest.json"))
	if err != nil {
		return nil, err
	}
	var index struct {
		Cases []vector `json:"cases"`
	}
	if err := readJSON(filepath.Join(folder, "golden", "index.json"), &index); err != nil {
		return nil, err
	}
	tensors, err := os.ReadFile(filepath.Join(folder, "golden", "tensors.bin"))
	return &bundle{model: model, inputs: signature.Inputs[0], result: signature.Outputs[0], leaves: signature.State,
		cases: index.Cases, tensors: tensors}, err
}

// read gives a tensor of the file: raw, little-endian, the last axis varying fastest.
func read[Number float32 | float64 | int64](b *bundle, e entry) []Number {
	count := 1
	for _, size := range e.Shape {
		count *= size
	}
	values := make([]Number, count)
	if err := binary.Read(bytes.NewReader(b.tensors[e.Offset:]), binary.LittleEndian, values); err != nil {
		panic(err) // the index names bytes that are not there
	}
	return values
}

// asFloats gives the floats whose bits model.c takes for a tensor: an int64 is two of them.
func asFloats(b *bundle, e entry) []float32 {
	if e.DType != "int64" {
		return read[float32](b, e)
	}
	tokens := read[int64](b, e)
	return unsafe.Slice((*float32)(unsafe.Pointer(&tokens[0])), 2*len(tokens))
}

// pieces tells how a tensor is cut along its time axis: pieces of inner numbers, outer of them for each time step.
func pieces(s spec, shape []int) (outer, inner int, hasTime bool) {
	outer, inner = 1, 1
	for axis, size := range shape {
		switch {
		case s.Shape[axis] == "time":
			hasTime = true
		case hasTime:
			inner *= size
		default:
			outer *= size
		}
	}
	return outer, inner, hasTime
}

// cut gives one time step of a tensor.
func cut[Number float32 | int64](values []Number, steps, step, outer, inner int) []Number {
	var result []Number
	for i := 0; i < outer; i++ {
		at := (i*steps + step) * inner
		result = append(result, values[at:at+inner]...)
	}
	return result
}

// inputsOf gives the inputs of a case, or of one of its time steps.
func (b *bundle) inputsOf(one vector, step int) recurrent.Inputs {
	e := one.Call[b.inputs.Name]
	outer, inner, _ := pieces(b.inputs, e.Shape)
	if b.model.TokenIDs() {
		tokens := read[int64](b, e)
		if step >= 0 {
			tokens = cut(tokens, one.Time, step, outer, inner)
		}
		return recurrent.Tokens(tokens...)
	}
	numbers := read[float32](b, e)
	if step >= 0 {
		numbers = cut(numbers, one.Time, step, outer, inner)
	}
	return recurrent.Numbers(numbers...)
}

func (b *bundle) stateOf(one vector) []float32 {
	var state []float32
	for _, leaf := range b.leaves {
		state = append(state, asFloats(b, one.Call[leaf.Name])...)
	}
	return state
}

// compare looks at one result: got(i) is its number i.
func (b *bundle) compare(one vector, how, name string, got func(int) float64) {
	e, allowed := one.Float64[name], one.Tolerance[name]
	expected := func(i int) float64 { return 0 }
	count := 0
	if e.DType == "int64" {
		values := read[int64](b, e)
		count, expected = len(values), func(i int) float64 { return float64(values[i]) }
	} else {
		values := read[float64](b, e)
		count, expected = len(values), func(i int) float64 { return values[i] }
	}
	for i := 0; i < count; i++ {
		difference := math.Abs(got(i) - expected(i))
		b.worst = math.Max(b.worst, difference)
		if allowed > 0 {
			b.share = math.Max(b.share, difference/allowed)
		}
		if !(difference <= allowed) && b.problem == nil { // so that NaN fails
			b.problem = fmt.Errorf("%s %s: %s[%d]: expected %.9g, got %.9g, off by %.1e, allowed %.1e",
				one.Name, how, name, i, expected(i), got(i), difference, allowed)
		}
	}
}

func (b *bundle) compareAll(one vector, how string, outputs, state []float32) {
	b.compare(one, how, b.result.Name, func(i int) float64 { return float64(outputs[i]) })
	for _, leaf := range b.leaves {
		e := one.Call[leaf.Name]
		size := len(asFloats(b, e))
		part := state[:size]
		state = state[size:]
		got := func(i int) float64 { return float64(part[i]) }
		if e.DType == "int64" {
			tokens := unsafe.Slice((*int64)(unsafe.Pointer(&part[0])), size/2)
			got = func(i int) float64 { return float64(tokens[i]) }
		}
		b.compare(one, how, leaf.OutputName, got)
	}
}

func (b *bundle) whole(one vector) error {
	outputs, state, err := b.model.Run(one.Time, one.Batch, b.inputsOf(one, -1), b.stateOf(one))
	if err != nil {
		return err
	}
	b.compareAll(one, "whole", outputs, state)
	return nil
}

func (b *bundle) streamed(one vector) error {
	session, err := recurrent.NewSession(b.model, one.Batch)
	if err != nil {
		return err
	}
	if err := session.Reset(b.stateOf(one)); err != nil {
		return err
	}
	outer, inner, everyStep := pieces(b.result, one.Float64[b.result.Name].Shape)
	all := make([]float32, outer*inner)
	if everyStep {
		all = make([]float32, outer*inner*one.Time)
	}
	for step := 0; step < one.Time; step++ {
		outputs, err := session.Step(b.inputsOf(one, step))
		if err != nil {
			return err
		}
		if !everyStep {
			copy(all, outputs)
			continue
		}
		for i := 0; i < outer; i++ {
			copy(all[(i*one.Time+step)*inner:], outputs[i*inner:(i+1)*inner])
		}
	}
	b.compareAll(one, "streamed", all, session.State())
	return nil
}

// timeStep measures the microseconds of a step of one row: the median of some rounds after one to warm up.
func timeStep(model *recurrent.Model) (float64, error) {
	session, err := recurrent.NewSession(model, 1)
	if err != nil {
		return 0, err
	}
	inputs := recurrent.Numbers(make([]float32, model.InputSize())...)
	if model.TokenIDs() {
		inputs = recurrent.Tokens(make([]int64, model.InputSize())...)
	}
	var times []float64
	for round := 0; round <= rounds; round++ {
		start := time.Now()
		for i := 0; i < stepsOfRound; i++ {
			if _, err := session.Step(inputs); err != nil {
				return 0, err
			}
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/1e3/stepsOfRound)
	}
	times = times[1:]
	sort.Float64s(times)
	return times[rounds/2], nil
}

func check(folder string) error {
	b, err := open(folder)
	if err != nil {
		return err
	}
	streams := 0
	for _, one := range b.cases {
		if err := b.whole(one); err != nil {
			return err
		}
		if one.Kind == "run" {
			streams++
			if err := b.streamed(one); err != nil {
				return err
			}
		}
	}
	if len(b.cases) == 0 {
		b.problem = fmt.Errorf("no golden vectors")
	}
	if b.problem != nil {
		return fmt.Errorf("%s: %w", b.model.Name(), b.problem)
	}
	microseconds, err := timeStep(b.model)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d vectors whole, %d streamed, worst error %.1e (%.0f%% of allowed), %.2f us per step\n",
		b.model.Name(), len(b.cases), streams, b.worst, 100*b.share, microseconds)
	return nil
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintf(os.Stderr, "usage: %s FOLDER...\n", os.Args[0])
		os.Exit(2)
	}
	status := 0
	for _, folder := range os.Args[1:] {
		if err := check(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}
