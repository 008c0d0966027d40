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

torch::ScalarType type_of(const Tensor &tensor)
{
    static const torch::ScalarType types[] = {torch::kFloat32, torch::kInt64, torch::kBool};
    return types[static_cast<std::size_t>(tensor.type)];
}

/* Look at numbers as a tensor, without a copy. */
torch::Tensor view(const Tensor &tensor, const Numbers &numbers, const Sizes &sizes)
{
    return std::visit(
        [&](const auto &typed) {
            auto *data = const_cast<typename std::decay_t<decltype(typed)>::value_type *>(typed.data()); /* only read */
            return torch::from_blob(data, tensor.shape(sizes), type_of(tensor));
        },
        numbers);
}

template <typename Element, typename Number = Element> std::vector<Number> copied(const torch::Tensor &tensor)
{
    const torch::Tensor dense = tensor.contiguous();
    const Element *data = dense.const_data_ptr<Element>();
    return {data, data + dense.numel()};
}

Numbers numbers_of(const torch::Tensor &tensor)
{
    if (tensor.scalar_type() == torch::kInt64) return copied<std::int64_t>(tensor);
    if (tensor.scalar_type() == torch::kBool) return copied<bool, std::uint8_t>(tensor);
    return copied<float>(tensor);
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

std::vector<float> &only(Tensors &outputs)
{
    return std::get<std::vector<float>>(outputs.begin()->second);
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

    Results run(const Given &inputs, std::size_t steps, std::size_t batch, const State &state) const
    {
        const c10::InferenceMode without_gradients;
        const Signature &signature = manifest.signature;
        expect_some(steps, batch);
        const Sizes sizes = sizes_of(signature, inputs, steps, batch);
        expect_inputs(signature, inputs, sizes);
        expect(signature, state, batch);
        const auto leaf = [&](const std::string &name) {
            for (std::size_t k = 0; k < state.size(); k++)
                if (signature.state[k].name == name) return view(signature.state[k], state[k], sizes);
            throw Error("manifest.json: expected a leaf of the state called " + name + ", got none");
        };
        return reporting("model.pt", [&] {
            std::vector<c10::IValue> arguments;
            for (std::size_t k = 0; k < inputs.size(); k++)
                arguments.push_back(view(signature.inputs[k], *inputs[k], sizes));
            arguments.push_back(wrap(tree, leaf));
            return results(torch::jit::Module(module).forward(std::move(arguments)).toTupleRef(), sizes);
        });
    }

    Results results(const c10::ivalue::Tuple &called, const Sizes &sizes) const
    {
        const std::vector<Tensor> &outputs = manifest.signature.outputs;
        Results results;
        for (std::size_t k = 0; k < outputs.size(); k++) {
            const auto placed = results.outputs.emplace(outputs[k].name, numbers_of(called.elements()[k].toTensor()));
            expect(outputs[k], placed.first->second, sizes);
        }
        std::vector<torch::Tensor> leaves;
        unwrap(called.elements()[outputs.size()], leaves);
        for (const torch::Tensor &leaf : leaves) results.state.push_back(numbers_of(leaf));
        expect(manifest.signature, results.state, sizes.batch);
        return results;
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
    Results results = loaded_->run(in_order(signature(), inputs), steps, batch, state);
    return {std::move(only(results.outputs)), std::move(results.state)};
}

Results Model::run(const Tensors &inputs, std::size_t steps, std::size_t batch) const
{
    return run(inputs, steps, batch, initial_state(batch));
}

Results Model::run(const Tensors &inputs, std::size_t steps, std::size_t batch, State state) const
{
    return loaded_->run(in_order(signature(), inputs), steps, batch, state);
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
    Results last;

    Tensors &step(const Given &inputs)
    {
        last = model.loaded_->run(inputs, 1, batch, last.state);
        return last.outputs;
    }
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
    return only(buffers_->step(in_order(buffers_->model.signature(), inputs)));
}

const Tensors &Session::step(const Tensors &inputs)
{
    return buffers_->step(in_order(buffers_->model.signature(), inputs));
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
