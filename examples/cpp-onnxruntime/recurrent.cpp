#include "recurrent.h"

#include "checks.h"
#include "manifest.h"
#include "ort.h"

namespace recurrent {

namespace {

/* The shape that an output has in the file. */
std::vector<std::int64_t> in_file(const Tensor &output, const Sizes &sizes)
{
    std::vector<std::int64_t> shape = output.shape(sizes);
    if (!output.flattened) return shape;
    shape[1] *= shape[0];
    shape.erase(shape.begin());
    return shape;
}

/* Put the tensors of a call in their places. */
ort::Call prepare(const ort::Network &network, const Signature &signature, const Sizes &sizes,
                  const std::vector<Numbers *> &inputs, State &state, Tensors &outputs, State &new_state)
{
    ort::Call call(network);
    for (std::size_t k = 0; k < inputs.size(); k++)
        call.input(signature.inputs[k].name, *inputs[k], signature.inputs[k].shape(sizes));
    for (const Tensor &output : signature.outputs)
        call.output(output.name, outputs.at(output.name), in_file(output, sizes));
    for (std::size_t k = 0; k < signature.state.size(); k++) {
        const Leaf &leaf = signature.state[k];
        call.input(leaf.name, state[k], leaf.shape(sizes));
        call.output(leaf.output_name, new_state[k], leaf.shape(sizes));
    }
    return call;
}

std::vector<float> &only(Tensors &outputs)
{
    return std::get<std::vector<float>>(outputs.begin()->second);
}

} // namespace

struct Model::Loaded {
    explicit Loaded(const std::filesystem::path &bundle)
        : manifest(read_manifest(bundle / "manifest.json")), network(bundle / "model.onnx")
    {
    }

    Results run(const Given &inputs, std::size_t steps, std::size_t batch, State state) const
    {
        const Signature &signature = manifest.signature;
        expect_some(steps, batch);
        const Sizes sizes = sizes_of(signature, inputs, steps, batch);
        expect_inputs(signature, inputs, sizes);
        expect(signature, state, batch);
        Results results{zeros_by_name(signature.outputs, sizes), zeros(signature.state, batch)};
        std::vector<Numbers *> readable; /* ONNX Runtime only reads them, but its tensors could be written */
        for (const Numbers *numbers : inputs) readable.push_back(const_cast<Numbers *>(numbers));
        prepare(network, signature, sizes, readable, state, results.outputs, results.state).run();
        return results;
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
    Results results = loaded_->run(in_order(signature(), inputs), steps, batch, std::move(state));
    return {std::move(only(results.outputs)), std::move(results.state)};
}

Results Model::run(const Tensors &inputs, std::size_t steps, std::size_t batch) const
{
    return run(inputs, steps, batch, initial_state(batch));
}

Results Model::run(const Tensors &inputs, std::size_t steps, std::size_t batch, State state) const
{
    return loaded_->run(in_order(signature(), inputs), steps, batch, std::move(state));
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
        : model(of), batch(rows), states{of.initial_state(rows), zeros(of.signature().state, rows)}
    {
        const Signature &signature = of.signature();
        fit({1, rows, std::vector<std::size_t>(signature.free_sizes.size(), 1)});
    }

    /* Make room for tensors of some sizes, and put them in their places. */
    void fit(const Sizes &of)
    {
        const Signature &signature = model.signature();
        sizes = of;
        inputs.clear();
        for (const Input &input : signature.inputs) inputs.push_back(zeros(input, sizes));
        outputs = zeros_by_name(signature.outputs, sizes);
        std::vector<Numbers *> places;
        for (Numbers &numbers : inputs) places.push_back(&numbers);
        calls.clear();
        for (const std::size_t from : {0, 1})
            calls.push_back(
                prepare(model.loaded_->network, signature, sizes, places, states[from], outputs, states[1 - from]));
    }

    Tensors &step(const Given &given)
    {
        const Sizes asked = sizes_of(model.signature(), given, 1, batch);
        expect_inputs(model.signature(), given, asked);
        if (asked.others != sizes.others) fit(asked);
        for (std::size_t k = 0; k < given.size(); k++) copy(*given[k], inputs[k]);
        calls[current].run();
        current = 1 - current;
        return outputs;
    }

    Model model;
    std::size_t batch;
    Sizes sizes;
    std::vector<Numbers> inputs;
    Tensors outputs;
    State states[2];
    std::vector<ort::Call> calls;
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
    return only(buffers_->step(in_order(buffers_->model.signature(), inputs)));
}

const Tensors &Session::step(const Tensors &inputs)
{
    return buffers_->step(in_order(buffers_->model.signature(), inputs));
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
