#include "recurrent.h"

#include "checks.h"
#include "manifest.h"
#include "ort.h"

namespace recurrent {

namespace {

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
    expect_inputs(signature(), inputs, steps, batch);
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
    return recurrent::initial_state(signature(), batch);
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
    expect_inputs(buffers_->model.signature(), inputs, 1, buffers_->batch);
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
