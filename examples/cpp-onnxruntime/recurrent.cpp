#include "recurrent.h"

#include <algorithm>
#include <limits>

#include "manifest.h"
#include "ort.h"

namespace recurrent {

namespace {

/* A size larger than this could not be allocated, even as int64. */
constexpr std::size_t most_numbers = std::numeric_limits<std::ptrdiff_t>::max() / sizeof(std::int64_t);

std::int64_t size_of(std::int64_t axis, std::size_t steps, std::size_t batch)
{
    if (axis == time_axis) return static_cast<std::int64_t>(steps);
    if (axis == batch_axis) return static_cast<std::int64_t>(batch);
    return axis;
}

Numbers zeros(const Tensor &tensor, std::size_t steps, std::size_t batch)
{
    const std::size_t count = tensor.count(steps, batch);
    if (tensor.is_int64) return std::vector<std::int64_t>(count);
    return std::vector<float>(count);
}

/* Throw unless these are the numbers of a tensor. */
void expect(const Tensor &tensor, const Numbers &numbers, std::size_t steps, std::size_t batch)
{
    const bool is_int64 = std::holds_alternative<std::vector<std::int64_t>>(numbers);
    const std::size_t got = std::visit([](const auto &typed) { return typed.size(); }, numbers);
    const std::size_t expected = tensor.count(steps, batch);
    if (is_int64 == tensor.is_int64 && got == expected) return;
    const auto text = [](std::size_t count, bool of_int64) {
        return std::to_string(count) + (of_int64 ? " int64" : " float32");
    };
    throw Error(tensor.name + ": expected " + text(expected, tensor.is_int64) + " numbers (time steps: " +
                std::to_string(steps) + ", batch: " + std::to_string(batch) + "), got " + text(got, is_int64));
}

void expect(const Signature &signature, const State &state, std::size_t batch)
{
    if (state.size() != signature.state.size())
        throw Error("expected a state of " + std::to_string(signature.state.size()) + " leaves, got " +
                    std::to_string(state.size()));
    for (std::size_t k = 0; k < state.size(); k++) expect(signature.state[k], state[k], 1, batch);
}

void expect_some(std::size_t steps, std::size_t batch)
{
    if (!steps || !batch)
        throw Error("expected at least one time step of one row, got time steps: " + std::to_string(steps) +
                    ", batch: " + std::to_string(batch));
}

/* Copy into numbers of the same type and size, which stay where they are: tensors of ONNX Runtime point to them. */
void copy(const Numbers &from, Numbers &to)
{
    std::visit(
        [&](const auto &typed) {
            auto &place = std::get<std::decay_t<decltype(typed)>>(to);
            std::copy(typed.begin(), typed.end(), place.begin());
        },
        from);
}

void copy(const State &from, State &to)
{
    for (std::size_t k = 0; k < from.size(); k++) copy(from[k], to[k]);
}

State zeros(const std::vector<Leaf> &leaves, std::size_t batch)
{
    State state;
    for (const Leaf &leaf : leaves) state.push_back(zeros(leaf, 1, batch));
    return state;
}

/* Repeat the initial row along the batch axis, wherever that is. */
void fill(const Leaf &leaf, std::size_t batch, Numbers &numbers)
{
    const auto at = std::find(leaf.axes.begin(), leaf.axes.end(), batch_axis);
    std::size_t inner = 1; /* numbers behind the batch axis */
    for (auto axis = at; axis != leaf.axes.end(); ++axis) inner *= static_cast<std::size_t>(size_of(*axis, 1, 1));
    std::visit(
        [&](auto &to) {
            const auto &row = std::get<std::decay_t<decltype(to)>>(leaf.initial);
            for (std::size_t i = 0; i < to.size(); i++) to[i] = row[i / (inner * batch) * inner + i % inner];
        },
        numbers);
}

/* Put the tensors of a call in their places. */
ort::Call prepare(const ort::Network &network, const Signature &signature, std::size_t steps, std::size_t batch,
                  Numbers &inputs, State &state, Numbers &outputs, State &new_state)
{
    ort::Call call(network);
    call.input(signature.inputs.name, inputs, signature.inputs.shape(steps, batch));
    call.output(signature.outputs.name, outputs, signature.outputs.shape(steps, batch));
    for (std::size_t k = 0; k < signature.state.size(); k++) {
        const Leaf &leaf = signature.state[k];
        call.input(leaf.name, state[k], leaf.shape(steps, batch));
        call.output(leaf.output_name, new_state[k], leaf.shape(steps, batch));
    }
    return call;
}

} // namespace

std::vector<std::int64_t> Tensor::shape(std::size_t steps, std::size_t batch) const
{
    std::vector<std::int64_t> sizes;
    for (const std::int64_t axis : axes) sizes.push_back(size_of(axis, steps, batch));
    return sizes;
}

std::size_t Tensor::count(std::size_t steps, std::size_t batch) const
{
    std::size_t product = 1;
    for (const std::int64_t size : shape(steps, batch)) {
        if (size < 0 || (size && product > most_numbers / static_cast<std::size_t>(size)))
            throw Error(name + ": expected numbers that fit into memory, got time steps: " + std::to_string(steps) +
                        ", batch: " + std::to_string(batch));
        product *= static_cast<std::size_t>(size);
    }
    return product;
}

struct Model::Loaded {
    explicit Loaded(const std::filesystem::path &bundle)
        : manifest(read_manifest(bundle / "manifest.json")), network(bundle / "model.onnx")
    {
    }

    Manifest manifest;
    ort::Network network;
};

Model::Model(const std::filesystem::path &bundle) : loaded_(std::make_shared<Loaded>(bundle)) {}

Result Model::run(const Numbers &inputs, std::size_t steps, std::size_t batch) const
{
    return run(inputs, steps, batch, initial_state(batch));
}

Result Model::run(const Numbers &inputs, std::size_t steps, std::size_t batch, State state) const
{
    expect_some(steps, batch);
    expect(signature().inputs, inputs, steps, batch);
    expect(signature(), state, batch);
    Numbers outputs = zeros(signature().outputs, steps, batch);
    State new_state = zeros(signature().state, batch);
    /* ONNX Runtime only reads its inputs, but its tensors are made of memory that could be written. */
    auto &readable = const_cast<Numbers &>(inputs);
    prepare(loaded_->network, signature(), steps, batch, readable, state, outputs, new_state).run();
    return {std::get<std::vector<float>>(std::move(outputs)), std::move(new_state)};
}

State Model::initial_state(std::size_t batch) const
{
    State state = zeros(signature().state, batch);
    for (std::size_t k = 0; k < state.size(); k++) fill(signature().state[k], batch, state[k]);
    return state;
}

const Signature &Model::signature() const
{
    return loaded_->manifest.signature;
}

const std::string &Model::name() const
{
    return loaded_->manifest.name;
}

const std::string &Model::vocabulary() const
{
    return loaded_->manifest.vocabulary;
}

/* The state is read from one place and written to the other, which then change their roles: a step that fails leaves
 * the state as it was, and no step allocates tensors. */
struct Session::Buffers {
    Buffers(const Model &of, std::size_t rows)
        : model(of), batch(rows), inputs(zeros(of.signature().inputs, 1, rows)),
          outputs(zeros(of.signature().outputs, 1, rows)),
          states{of.initial_state(rows), zeros(of.signature().state, rows)}, calls{call(0), call(1)}
    {
    }

    ort::Call call(std::size_t from)
    {
        return prepare(model.loaded_->network, model.signature(), 1, batch, inputs, states[from], outputs,
                       states[1 - from]);
    }

    Model model;
    std::size_t batch;
    Numbers inputs, outputs;
    State states[2];
    ort::Call calls[2];
    std::size_t current = 0;
};

Session::Session(const Model &model, std::size_t batch)
{
    expect_some(1, batch);
    buffers_ = std::make_unique<Buffers>(model, batch);
}

Session::~Session() = default;
Session::Session(Session &&) noexcept = default;
Session &Session::operator=(Session &&) noexcept = default;

const std::vector<float> &Session::step(const Numbers &inputs)
{
    expect(buffers_->model.signature().inputs, inputs, 1, buffers_->batch);
    copy(inputs, buffers_->inputs);
    buffers_->calls[buffers_->current].run();
    buffers_->current = 1 - buffers_->current;
    return std::get<std::vector<float>>(buffers_->outputs);
}

void Session::reset()
{
    reset(buffers_->model.initial_state(buffers_->batch));
}

void Session::reset(const State &state)
{
    expect(buffers_->model.signature(), state, buffers_->batch);
    buffers_->current = 1 - buffers_->current; /* the given state may be the one that was current */
    copy(state, buffers_->states[buffers_->current]);
}

const State &Session::state() const
{
    return buffers_->states[buffers_->current];
}

std::string runtime()
{
    return "ONNX Runtime " + ort::version();
}

} // namespace recurrent
