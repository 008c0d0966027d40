#include "recurrent.h"

#include <ATen/Parallel.h>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <torch/script.h>
#include <torch/version.h>

#include "checks.h"
#include "manifest.h"

namespace recurrent {

namespace {

using Json = nlohmann::json;

/* Look at numbers as a tensor, without a copy. */
torch::Tensor view(const Tensor &tensor, const Numbers &numbers, std::size_t steps, std::size_t batch)
{
    return std::visit(
        [&](const auto &typed) {
            auto *data = const_cast<typename std::decay_t<decltype(typed)>::value_type *>(typed.data()); /* only read */
            return torch::from_blob(data, tensor.shape(steps, batch), tensor.is_int64 ? torch::kInt64 : torch::kFloat32);
        },
        numbers);
}

template <typename Number> std::vector<Number> numbers_of(const torch::Tensor &tensor)
{
    const torch::Tensor dense = tensor.contiguous();
    const Number *data = dense.const_data_ptr<Number>();
    return {data, data + dense.numel()};
}

/* Wrap the leaves of a state as the module does: a leaf's name, {"tuple": [...]} or {"list": [...]}, nested at will. */
c10::IValue wrap(const Json &tree, const std::function<torch::Tensor(const std::string &)> &leaf)
{
    if (tree.is_string()) return leaf(tree.get<std::string>());
    std::vector<c10::IValue> parts;
    for (const Json &part : tree.items().begin().value()) parts.push_back(wrap(part, leaf));
    if (tree.contains("tuple")) return c10::ivalue::Tuple::create(std::move(parts));
    c10::impl::GenericList list(c10::unshapedType(parts.at(0).type())); /* a tensor's own type has its sizes */
    for (c10::IValue &part : parts) list.push_back(std::move(part));
    return list;
}

/* List the leaves of a state from left to right. */
void unwrap(const c10::IValue &value, std::vector<torch::Tensor> &leaves)
{
    if (value.isTensor())
        leaves.push_back(value.toTensor());
    else if (value.isTuple())
        for (const c10::IValue &part : value.toTupleRef().elements()) unwrap(part, leaves);
    else
        for (const c10::IValue &part : value.toListRef()) unwrap(part, leaves);
}

/* The manifest's tree, which this runtime alone needs. */
Json read_tree(const std::filesystem::path &file)
{
    std::ifstream stream(file);
    return Json::parse(stream).at("signature").at("tree");
}

/* Do what libtorch may refuse: its exceptions become ours. */
template <typename Work> auto reporting(const std::string &where, Work work)
{
    try {
        return work();
    } catch (const c10::Error &problem) {
        throw Error(where + ": " + problem.what_without_backtrace());
    } catch (const std::exception &problem) {
        throw Error(where + ": " + problem.what());
    }
}

torch::jit::Module read_module(const std::filesystem::path &file)
{
    at::set_num_threads(1);
    return reporting(file.string(), [&] { return torch::jit::load(file.string()); });
}

} // namespace

struct Model::Loaded {
    explicit Loaded(const std::filesystem::path &bundle)
        : manifest(read_manifest(bundle / "manifest.json")), tree(read_tree(bundle / "manifest.json")),
          module(read_module(bundle / "model.pt"))
    {
    }

    Result run(const Numbers &inputs, std::size_t steps, std::size_t batch, const State &state) const
    {
        const c10::InferenceMode without_gradients;
        const Signature &signature = manifest.signature;
        const auto leaf = [&](const std::string &name) {
            for (std::size_t k = 0; k < state.size(); k++)
                if (signature.state[k].name == name) return view(signature.state[k], state[k], steps, batch);
            throw Error("manifest.json: expected a leaf of the state called " + name + ", got none");
        };
        return reporting("model.pt", [&] {
            const c10::IValue called = torch::jit::Module(module).forward(
                {view(signature.inputs, inputs, steps, batch), wrap(tree, leaf)});
            return result(called.toTupleRef(), steps, batch);
        });
    }

    Result result(const c10::ivalue::Tuple &called, std::size_t steps, std::size_t batch) const
    {
        Result result{numbers_of<float>(called.elements()[0].toTensor()), {}};
        std::vector<torch::Tensor> leaves;
        unwrap(called.elements()[1], leaves);
        for (const torch::Tensor &leaf : leaves)
            if (leaf.scalar_type() == torch::kInt64)
                result.state.emplace_back(numbers_of<std::int64_t>(leaf));
            else
                result.state.emplace_back(numbers_of<float>(leaf));
        expect(manifest.signature.outputs, result.outputs, steps, batch);
        expect(manifest.signature, result.state, batch);
        return result;
    }

    Manifest manifest;
    Json tree;
    torch::jit::Module module;
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
    return loaded_->run(inputs, steps, batch, state);
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

struct Session::Buffers {
    Model model;
    std::size_t batch;
    Result last;
};

Session::Session(const Model &model, std::size_t batch)
{
    expect_some(1, batch);
    buffers_ = std::make_unique<Buffers>(Buffers{model, batch, {{}, model.initial_state(batch)}});
}

Session::~Session() = default;
Session::Session(Session &&) noexcept = default;
Session &Session::operator=(Session &&) noexcept = default;

const std::vector<float> &Session::step(const Numbers &inputs)
{
    expect_inputs(buffers_->model.signature(), inputs, 1, buffers_->batch);
    buffers_->last = buffers_->model.loaded_->run(inputs, 1, buffers_->batch, buffers_->last.state);
    return buffers_->last.outputs;
}

void Session::reset()
{
    buffers_->last.state = buffers_->model.initial_state(buffers_->batch);
}

void Session::reset(const State &state)
{
    expect(buffers_->model.signature(), state, buffers_->batch);
    buffers_->last.state = state;
}

const State &Session::state() const
{
    return buffers_->last.state;
}

std::string runtime()
{
    return std::string("libtorch ") + TORCH_VERSION;
}

} // namespace recurrent
