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
	Every  int    `json:"every"` // the file holds each first, second, third, ... number; 0 is as 1
}

// apart tells how far the numbers that the file holds are apart.
func (e entry) apart() int {
	if e.Every > 1 {
		return e.Every
	}
	return 1
}

type vector struct {
	Name      string             `json:"name"`
	Kind      string             `json:"kind"`
	Time      int                `json:"time"`
	Batch     int                `json:"batch"`
	Call      map[string]entry   `json:"call"`
	Float64   map[string]entry   `json:"float64"`
	Undecided map[string]entry   `json:"undecided"` // where rounding may turn a whole number into another one
	Tolerance map[string]float64 `json:"tolerance"`
}

// bundle is what a folder says of a net, and the errors that were found so far.
type bundle struct {
	model        *recurrent.Model
	specs        map[string]spec // of inputs and outputs
	leaves       []spec
	cases        []vector
	tensors      []byte
	worst, share float64
	problem      error
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

// readSignature reads a manifest.
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
	specs := map[string]spec{}
	for _, one := range append(signature.Inputs, signature.Outputs...) {
		specs[one.Name] = one
	}
	return &bundle{model: model, specs: specs, leaves: signature.State, cases: index.Cases, tensors: tensors}, err
}

// read gives a tensor of the file: raw, little-endian, the last axis varying fastest.
func read[Number float32 | float64 | int64 | bool](b *bundle, e entry) []Number {
	count := 1
	for _, size := range e.Shape {
		count *= size
	}
	stored := make([]Number, (count+e.apart()-1)/e.apart())
	if err := binary.Read(bytes.NewReader(b.tensors[e.Offset:]), binary.LittleEndian, stored); err != nil {
		panic(err) // the index names bytes that are not there
	}
	values := make([]Number, count)
	for i, number := range stored {
		values[i*e.apart()] = number
	}
	return values
}

// asFloats gives the floats whose bits model.c takes for a tensor: an int64 is two of them, a true one has all bits set.
func asFloats(b *bundle, e entry) []float32 {
	if e.DType == "bool" {
		var floats []float32
		for _, truth := range read[bool](b, e) {
			floats = append(floats, math.Float32frombits(map[bool]uint32{true: math.MaxUint32}[truth]))
		}
		return floats
	}
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
func cut[Number float32 | int64 | bool](values []Number, steps, step, outer, inner int) []Number {
	var result []Number
	for i := 0; i < outer; i++ {
		at := (i*steps + step) * inner
		result = append(result, values[at:at+inner]...)
	}
	return result
}

// put puts one time step of a tensor to its place.
func put[Number float32 | int64 | bool](step, all []Number, steps, at, outer, inner int) {
	for i := 0; i < outer && len(step) > 0; i++ {
		copy(all[(i*steps+at)*inner:], step[i*inner:(i+1)*inner])
	}
}

// part gives a tensor of a case, or one of its time steps: all of it, if it has no time.
func part[Number float32 | int64 | bool](b *bundle, one vector, name string, step int) []Number {
	e := one.Call[name]
	values := read[Number](b, e)
	outer, inner, hasTime := pieces(b.specs[name], e.Shape)
	if step < 0 || !hasTime {
		return values
	}
	return cut(values, one.Time, step, outer, inner)
}

// inputsOf gives the inputs of a case, or of one of its time steps.
func (b *bundle) inputsOf(one vector, step int) map[string]recurrent.Inputs {
	inputs := map[string]recurrent.Inputs{}
	for _, tensor := range b.model.Inputs() {
		switch tensor.Kind {
		case recurrent.Int64:
			inputs[tensor.Name] = recurrent.Tokens(part[int64](b, one, tensor.Name, step)...)
		case recurrent.Bool:
			inputs[tensor.Name] = recurrent.Truths(part[bool](b, one, tensor.Name, step)...)
		default:
			inputs[tensor.Name] = recurrent.Numbers(part[float32](b, one, tensor.Name, step)...)
		}
	}
	return inputs
}

func (b *bundle) stateOf(one vector) []float32 {
	var state []float32
	for _, leaf := range b.leaves {
		state = append(state, asFloats(b, one.Call[leaf.Name])...)
	}
	return state
}

// numbers gives a tensor of the file as numbers.
func (b *bundle) numbers(e entry) []float64 {
	switch e.DType {
	case "int64":
		return asNumbers(recurrent.Outputs{Tokens: read[int64](b, e)})
	case "bool":
		return asNumbers(recurrent.Outputs{Truths: read[bool](b, e)})
	default:
		return read[float64](b, e)
	}
}

// asNumbers gives values of any kind as numbers.
func asNumbers(values recurrent.Outputs) []float64 {
	var numbers []float64
	for _, number := range values.Numbers {
		numbers = append(numbers, float64(number))
	}
	for _, token := range values.Tokens {
		numbers = append(numbers, float64(token))
	}
	for _, truth := range values.Truths {
		numbers = append(numbers, map[bool]float64{true: 1}[truth])
	}
	return numbers
}

// compare looks at one result; an infinity is right where that is the same one.
func (b *bundle) compare(one vector, how, name string, got []float64) {
	expected, allowed := b.numbers(one.Float64[name]), one.Tolerance[name]
	var undecided []bool
	if e, there := one.Undecided[name]; there {
		undecided = read[bool](b, e)
	}
	if len(got) != len(expected) && b.problem == nil {
		b.problem = fmt.Errorf("%s %s: %s: expected %d numbers, got %d", one.Name, how, name, len(expected), len(got))
		return
	}
	for i := 0; i < len(expected); i += one.Float64[name].apart() {
		if got[i] == expected[i] || (undecided != nil && undecided[i]) {
			continue
		}
		difference := math.Abs(got[i] - expected[i])
		b.worst = math.Max(b.worst, difference)
		if allowed > 0 {
			b.share = math.Max(b.share, difference/allowed)
		}
		if !(difference <= allowed) && b.problem == nil { // so that NaN fails
			b.problem = fmt.Errorf("%s %s: %s[%d]: expected %.9g, got %.9g, off by %.1e, allowed %.1e",
				one.Name, how, name, i, expected[i], got[i], difference, allowed)
		}
	}
}

func (b *bundle) compareAll(one vector, how string, outputs map[string]recurrent.Outputs, state []float32) {
	for name, values := range outputs {
		b.compare(one, how, name, asNumbers(values))
	}
	for _, leaf := range b.leaves {
		e := one.Call[leaf.Name]
		size := len(asFloats(b, e))
		part := state[:size]
		state = state[size:]
		got := recurrent.Outputs{Numbers: part}
		switch e.DType {
		case "int64":
			got = recurrent.Outputs{Tokens: unsafe.Slice((*int64)(unsafe.Pointer(&part[0])), size/2)}
		case "bool":
			got = recurrent.Outputs{}
			for _, float := range part {
				got.Truths = append(got.Truths, math.Float32bits(float) != 0)
			}
		}
		b.compare(one, how, leaf.OutputName, asNumbers(got))
	}
}

func (b *bundle) whole(one vector) error {
	outputs, state, err := b.model.RunAll(one.Time, one.Batch, b.inputsOf(one, -1), b.stateOf(one))
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
	all := map[string]recurrent.Outputs{}
	for step := 0; step < one.Time; step++ {
		outputs, err := session.StepAll(b.inputsOf(one, step))
		if err != nil {
			return err
		}
		for name, values := range outputs {
			shape := one.Float64[name].Shape
			outer, inner, everyStep := pieces(b.specs[name], shape)
			if !everyStep {
				all[name] = values
				continue
			}
			if step == 0 {
				times := one.Time
				all[name] = recurrent.Outputs{
					Numbers: make([]float32, times*len(values.Numbers)),
					Tokens:  make([]int64, times*len(values.Tokens)),
					Truths:  make([]bool, times*len(values.Truths)),
				}
			}
			put(values.Numbers, all[name].Numbers, one.Time, step, outer, inner)
			put(values.Tokens, all[name].Tokens, one.Time, step, outer, inner)
			put(values.Truths, all[name].Truths, one.Time, step, outer, inner)
		}
	}
	b.compareAll(one, "streamed", all, session.State())
	return nil
}

// stepper makes what takes a step of one row, all zeros: without names, where a model has one tensor.
func stepper(model *recurrent.Model, session *recurrent.Session) func() error {
	inputs := map[string]recurrent.Inputs{}
	for _, tensor := range model.Inputs() {
		switch tensor.Kind {
		case recurrent.Int64:
			inputs[tensor.Name] = recurrent.Tokens(make([]int64, tensor.Size)...)
		case recurrent.Bool:
			inputs[tensor.Name] = recurrent.Truths(make([]bool, tensor.Size)...)
		default:
			inputs[tensor.Name] = recurrent.Numbers(make([]float32, tensor.Size)...)
		}
	}
	only := inputs[model.Inputs()[0].Name]
	if _, err := session.Step(only); err == nil {
		return func() error { _, err := session.Step(only); return err }
	}
	return func() error { _, err := session.StepAll(inputs); return err }
}

// timeStep measures the microseconds of a step of one row: the median of some rounds after one to warm up.
func timeStep(model *recurrent.Model) (float64, error) {
	session, err := recurrent.NewSession(model, 1)
	if err != nil {
		return 0, err
	}
	step := stepper(model, session)
	var times []float64
	for round := 0; round <= rounds; round++ {
		start := time.Now()
		for i := 0; i < stepsOfRound; i++ {
			if err := step(); err != nil {
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
