#include "checks.h"

#include <algorithm>
#include <limits>

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

Numbers zeros(const Tensor &tensor, std::size_t steps, std::size_t batch)
{
    const std::size_t count = tensor.count(steps, batch);
    if (tensor.is_int64) return std::vector<std::int64_t>(count);
    return std::vector<float>(count);
}

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

void expect_inputs(const Signature &signature, const Numbers &inputs, std::size_t steps, std::size_t batch)
{
    expect(signature.inputs, inputs, steps, batch);
    const auto *tokens = std::get_if<std::vector<std::int64_t>>(&inputs);
    if (!tokens || !signature.vocabulary_size) return;
    for (std::size_t i = 0; i < tokens->size(); i++)
        if ((*tokens)[i] < 0 || (*tokens)[i] >= *signature.vocabulary_size)
            throw Error(signature.inputs.name + "[" + std::to_string(i) + "]: expected a token id from 0 to " +
                        std::to_string(*signature.vocabulary_size - 1) + ", got " + std::to_string((*tokens)[i]));
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

State initial_state(const Signature &signature, std::size_t batch)
{
    State state = zeros(signature.state, batch);
    for (std::size_t k = 0; k < state.size(); k++) fill(signature.state[k], batch, state[k]);
    return state;
}

} // namespace recurrent
