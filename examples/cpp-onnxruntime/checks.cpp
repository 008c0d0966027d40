#include "checks.h"

#include <algorithm>
#include <limits>

namespace recurrent {

namespace {

/* A size larger than this could not be allocated, even as int64. */
constexpr std::size_t most_numbers = std::numeric_limits<std::ptrdiff_t>::max() / sizeof(std::int64_t);

/* What tells a free size from another: its place in Sizes::others. */
std::size_t place_of(std::int64_t axis)
{
    return static_cast<std::size_t>(batch_axis - 1 - axis);
}

std::int64_t size_of(std::int64_t axis, const Sizes &sizes)
{
    if (axis == time_axis) return static_cast<std::int64_t>(sizes.steps);
    if (axis == batch_axis) return static_cast<std::int64_t>(sizes.batch);
    return static_cast<std::int64_t>(axis < 0 ? sizes.others.at(place_of(axis)) : static_cast<std::size_t>(axis));
}

std::size_t how_many(const Numbers &numbers)
{
    return std::visit([](const auto &typed) { return typed.size(); }, numbers);
}

/* Repeat the initial row along the batch axis, wherever that is. */
void fill(const Leaf &leaf, std::size_t batch, Numbers &numbers)
{
    const auto at = std::find(leaf.axes.begin(), leaf.axes.end(), batch_axis);
    std::size_t inner = 1; /* numbers behind the batch axis */
    for (auto axis = at; axis != leaf.axes.end(); ++axis) inner *= static_cast<std::size_t>(size_of(*axis, Sizes{}));
    std::visit(
        [&](auto &to) {
            const auto &row = std::get<std::decay_t<decltype(to)>>(leaf.initial);
            for (std::size_t i = 0; i < to.size(); i++) to[i] = row[i / (inner * batch) * inner + i % inner];
        },
        numbers);
}

} // namespace

std::vector<std::int64_t> Tensor::shape(const Sizes &sizes) const
{
    std::vector<std::int64_t> shape;
    for (const std::int64_t axis : axes) shape.push_back(size_of(axis, sizes));
    return shape;
}

std::size_t Tensor::count(const Sizes &sizes) const
{
    std::size_t product = 1;
    for (const std::int64_t size : shape(sizes)) {
        if (size < 0 || (size && product > most_numbers / static_cast<std::size_t>(size)))
            throw Error(name + ": expected numbers that fit into memory, got time steps: " +
                        std::to_string(sizes.steps) + ", batch: " + std::to_string(sizes.batch));
        product *= static_cast<std::size_t>(size);
    }
    return product;
}

Numbers zeros(const Tensor &tensor, const Sizes &sizes)
{
    const std::size_t count = tensor.count(sizes);
    if (tensor.type == Type::int64) return std::vector<std::int64_t>(count);
    if (tensor.type == Type::boolean) return std::vector<std::uint8_t>(count);
    return std::vector<float>(count);
}

Tensors zeros_by_name(const std::vector<Tensor> &tensors, const Sizes &sizes)
{
    Tensors result;
    for (const Tensor &tensor : tensors) result.emplace(tensor.name, zeros(tensor, sizes));
    return result;
}

Given in_order(const Signature &signature, const Tensors &inputs)
{
    Given given;
    for (const Input &input : signature.inputs) {
        const auto found = inputs.find(input.name);
        if (found == inputs.end()) throw Error("expected a tensor called " + input.name + ", got none");
        given.push_back(&found->second);
    }
    if (inputs.size() != given.size())
        throw Error("expected " + std::to_string(given.size()) + " tensors, got " + std::to_string(inputs.size()));
    return given;
}

Given in_order(const Signature &signature, const Numbers &inputs)
{
    const std::size_t taken = signature.inputs.size(), gives = signature.outputs.size();
    if (taken != 1 || gives != 1 || signature.outputs[0].type != Type::float32)
        throw Error("expected a model of one tensor of inputs and one of float32 outputs, got one of " +
                    std::to_string(taken) + " and " + std::to_string(gives) + "; pass the tensors by name");
    return {&inputs};
}

Sizes sizes_of(const Signature &signature, const Given &inputs, std::size_t steps, std::size_t batch)
{
    Sizes sizes{steps, batch, std::vector<std::size_t>(signature.free_sizes.size(), 1)};
    std::vector<bool> known(signature.free_sizes.size());
    for (std::size_t k = 0; k < inputs.size(); k++)
        for (const std::int64_t axis : signature.inputs[k].axes) {
            if (axis >= batch_axis || known[place_of(axis)]) continue;
            known[place_of(axis)] = true;
            const std::size_t others = std::max<std::size_t>(1, signature.inputs[k].count(sizes));
            sizes.others[place_of(axis)] = std::max<std::size_t>(1, how_many(*inputs[k]) / others);
        }
    return sizes;
}

void expect(const Tensor &tensor, const Numbers &numbers, const Sizes &sizes)
{
    const auto type = static_cast<Type>(numbers.index());
    const std::size_t got = how_many(numbers), expected = tensor.count(sizes);
    if (type == tensor.type && got == expected) return;
    const auto text = [](std::size_t count, Type of) {
        static const char *const names[] = {" float32", " int64", " bool"};
        return std::to_string(count) + names[static_cast<std::size_t>(of)];
    };
    throw Error(tensor.name + ": expected " + text(expected, tensor.type) + " numbers (time steps: " +
                std::to_string(sizes.steps) + ", batch: " + std::to_string(sizes.batch) + "), got " + text(got, type));
}

namespace {

void expect_tokens(const Input &input, const std::vector<std::int64_t> &tokens)
{
    if (!input.vocabulary_size) return;
    for (std::size_t i = 0; i < tokens.size(); i++)
        if (tokens[i] < 0 || tokens[i] >= *input.vocabulary_size)
            throw Error(input.name + "[" + std::to_string(i) + "]: expected a token id from 0 to " +
                        std::to_string(*input.vocabulary_size - 1) + ", got " + std::to_string(tokens[i]));
}

void expect_truths(const Input &input, const std::vector<std::uint8_t> &truths)
{
    for (std::size_t i = 0; i < truths.size(); i++)
        if (truths[i] > 1)
            throw Error(input.name + "[" + std::to_string(i) + "]: expected 0 or 1, got " + std::to_string(truths[i]));
}

} // namespace

void expect_inputs(const Signature &signature, const Given &inputs, const Sizes &sizes)
{
    for (std::size_t k = 0; k < inputs.size(); k++) {
        const Input &input = signature.inputs[k];
        expect(input, *inputs[k], sizes);
        if (const auto *tokens = std::get_if<std::vector<std::int64_t>>(inputs[k])) expect_tokens(input, *tokens);
        if (const auto *truths = std::get_if<std::vector<std::uint8_t>>(inputs[k])) expect_truths(input, *truths);
    }
}

void expect(const Signature &signature, const State &state, std::size_t batch)
{
    if (state.size() != signature.state.size())
        throw Error("expected a state of " + std::to_string(signature.state.size()) + " leaves, got " +
                    std::to_string(state.size()));
    for (std::size_t k = 0; k < state.size(); k++) expect(signature.state[k], state[k], {1, batch});
}

void expect_some(std::size_t steps, std::size_t batch)
{
    if (!steps || !batch)
        throw Error("expected at least one time step of one row, got time steps: " + std::to_string(steps) +
                    ", batch: " + std::to_string(batch));
}

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
    for (const Leaf &leaf : leaves) state.push_back(zeros(leaf, {1, batch}));
    return state;
}

State initial_state(const Signature &signature, std::size_t batch)
{
    State state = zeros(signature.state, batch);
    for (std::size_t k = 0; k < state.size(); k++) fill(signature.state[k], batch, state[k]);
    return state;
}

} // namespace recurrent
