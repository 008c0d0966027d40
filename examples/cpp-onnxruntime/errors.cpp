/* errors FOLDER...: what is wrong is said, harms nothing, and a session can be taken back. Silent if all is well. */
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "expect.h"
#include "recurrent.h"

namespace {

using recurrent::Model;
using recurrent::Input;
using recurrent::Numbers;
using recurrent::Session;
using recurrent::Signature;
using recurrent::Sizes;
using recurrent::State;
using recurrent::Tensors;
using recurrent::Type;

/* Some numbers of the right type, valid as token ids and as truth values. */
Numbers some(const recurrent::Tensor &tensor, const Sizes &sizes, std::size_t too_many = 0)
{
    const std::size_t count = tensor.count(sizes) + too_many;
    if (tensor.type == Type::int64) return std::vector<std::int64_t>(count, 1);
    if (tensor.type == Type::boolean) return std::vector<std::uint8_t>(count, 1);
    return std::vector<float>(count, 0.5F);
}

Sizes sizes_of(const Model &model, std::size_t steps, std::size_t batch)
{
    return {steps, batch, std::vector<std::size_t>(model.signature().free_sizes.size(), 1)};
}

Tensors some(const Model &model, std::size_t steps, std::size_t batch)
{
    Tensors inputs;
    for (const Input &input : model.signature().inputs)
        inputs.emplace(input.name, some(input, sizes_of(model, steps, batch)));
    return inputs;
}

Numbers other_type(const Numbers &numbers)
{
    const std::size_t count = std::visit([](const auto &typed) { return typed.size(); }, numbers);
    if (std::holds_alternative<std::vector<float>>(numbers)) return std::vector<std::int64_t>(count);
    return std::vector<float>(count);
}

/* The same, but for one tensor. */
Tensors with(Tensors inputs, const std::string &name, Numbers numbers)
{
    inputs[name] = std::move(numbers);
    return inputs;
}

/* A folder that is removed in the end. */
struct Folder {
    Folder() : path(std::filesystem::temp_directory_path() / ("recurrent-errors-" + std::to_string(std::rand())))
    {
        expect(std::filesystem::create_directory(path), "to create " + path.string());
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
};

void check_files(const std::filesystem::path &bundle)
{
    const Folder folder;
    expect_error("manifest.json, got none", [&] { Model model(folder.path); });
    std::filesystem::copy(bundle / "manifest.json", folder.path);
    expect_error("", [&] { Model model(folder.path); });
    std::ofstream(folder.path / "model.onnx") << "no such model";
    expect_error("", [&] { Model model(folder.path); });
    const auto expect_refused = [&](const std::string &manifest, const std::string &message) {
        std::ofstream(folder.path / "manifest.json") << manifest;
        expect_error("manifest.json: " + message, [&] { Model model(folder.path); });
    };
    expect_refused("{\"name\": ", "");
    expect_refused("{\"format_version\": 1}",
                   "expected manifest format 2, got 1; export and scaffold with one rnn-export");
    expect_refused(R"({"format_version": 2, "name": "", "metadata": {}, "signature":
                      {"streamable": true, "lengths": true}})",
                   "expected a streamable net without lengths, got another one; export it so");
}

/* A call with one tensor is the same as by name, or refused where a model has several. */
void check_one(const Model &model, const Numbers &numbers)
{
    const Signature &signature = model.signature();
    if (signature.inputs.size() > 1 || signature.outputs.size() > 1 || signature.outputs[0].type != Type::float32) {
        expect_error("expected a model of one tensor of inputs", [&] { model.run(numbers, 3, 2); });
        return;
    }
    const Numbers by_name = model.run(Tensors{{signature.inputs[0].name, numbers}}, 3, 2).outputs.begin()->second;
    expect(Numbers(model.run(numbers, 3, 2).outputs) == by_name, "the same outputs without a name");
    Session session(model, 2);
    const Numbers step = some(signature.inputs[0], {1, 2});
    const Numbers first = session.step(step);
    session.reset();
    expect(session.step(Tensors{{signature.inputs[0].name, step}}).begin()->second == first, "the same step by name");
}

void check_sizes(const Model &model)
{
    const auto &signature = model.signature();
    const Tensors inputs = some(model, 3, 2);
    const Input &input = signature.inputs[0];
    expect_error("expected at least one time step", [&] { model.run(inputs, 0, 2); });
    expect_error("expected at least one time step", [&] { model.run(inputs, 3, 0); });
    expect_error(": expected ", [&] { model.run(inputs, 4, 2); });
    for (const Input &each : signature.inputs) {
        const bool fixed = std::none_of(each.axes.begin(), each.axes.end(),
                                        [](std::int64_t axis) { return axis < recurrent::batch_axis; });
        const Tensors more = with(inputs, each.name, some(each, sizes_of(model, 3, 2), 1));
        if (fixed) expect_error(each.name + ": expected ", [&] { model.run(more, 3, 2); });
        const Tensors other = with(inputs, each.name, other_type(inputs.at(each.name)));
        expect_error(each.name + ": expected ", [&] { model.run(other, 3, 2); });
    }
    expect_error("tensor", [&] { model.run(with(inputs, "another", inputs.at(input.name)), 3, 2); });
    expect_error("expected a tensor called ", [&] { model.run(Tensors{}, 3, 2); });
    const std::size_t huge = std::numeric_limits<std::size_t>::max();
    expect_error("fit into memory", [&] { model.run(inputs, huge / 2, huge / 2); });
    expect_error("fit into memory", [&] { model.run(inputs, huge, 1); });
    expect_error("fit into memory", [&] { model.run(inputs, 1, huge / 4); });
    expect_error("fit into memory", [&] { Session session(model, huge / 4); });
    expect_error("expected at least one time step", [&] { Session session(model, 0); });
    expect(model.run(inputs, 3, 2).state.size() == signature.state.size(), "all leaves of the state");
    check_one(model, inputs.at(input.name));
}

void check_state(const Model &model)
{
    const Tensors inputs = some(model, 3, 2);
    const std::string first = model.signature().state[0].name + ": expected ";
    State state = model.initial_state(2);
    expect_error(first, [&] { model.run(inputs, 3, 2, model.initial_state(1)); });
    state[0] = other_type(state[0]);
    expect_error(first, [&] { model.run(inputs, 3, 2, state); });
    state.pop_back();
    expect_error("leaves, got ", [&] { model.run(inputs, 3, 2, state); });
    Session session(model, 2);
    expect_error("leaves, got ", [&] { session.reset(state); });
    expect_error(first, [&] { session.reset(model.initial_state(3)); });
}

void check_session(const Model &model)
{
    const Tensors inputs = some(model, 1, 2);
    const Input &input = model.signature().inputs[0];
    Session session(model, 2), other(model, 2);
    const Tensors first = session.step(inputs);
    const State after_first = session.state();
    const Tensors second = session.step(inputs);
    const State after_second = session.state();
    expect(other.step(inputs) == first, "the same first step of another session");

    expect_error(input.name + ": expected ", [&] { session.step(some(model, 1, 1)); });
    expect_error(input.name + ": expected ",
                 [&] { session.step(with(inputs, input.name, other_type(inputs.at(input.name)))); });
    expect(session.state() == after_second, "the state as before after an error");
    session.reset(after_first);
    expect(session.step(inputs) == second, "the same second step after reset(state)");
    session.reset(session.state());
    expect(session.state() == after_second, "the same state after a reset to itself");
    session.reset();
    expect(session.state() == model.initial_state(2), "the initial state after reset()");
    Session moved = std::move(session);
    expect(moved.step(inputs) == first, "the same first step after reset() and a move");
}

/* A token id that is not in the vocabulary is refused, whatever the runtime would make of it. */
void check_unknown_tokens(const Model &model, const Input &input)
{
    if (!input.vocabulary_size) return;
    using Limits = std::numeric_limits<std::int64_t>;
    const std::int64_t end = *input.vocabulary_size;
    Session session(model, 2);
    const State before = session.state();
    Tensors step = some(model, 1, 2);
    std::int64_t &place = std::get<std::vector<std::int64_t>>(step.at(input.name))[1];
    for (const std::int64_t id : {std::int64_t{-1}, end, Limits::min(), Limits::max()}) {
        place = id;
        const std::string expected = "[1]: expected a token id from 0 to " + std::to_string(end - 1);
        const std::string message = input.name + expected + ", got " + std::to_string(id);
        expect_error(message, [&] { session.step(step); });
        expect_error(message, [&] { model.run(step, 1, 2); });
    }
    expect(session.state() == before, "the state as before after an unknown token");
    place = end - 1;
    session.step(step);
}

void check_truths(const Model &model, const Input &input)
{
    if (input.type != Type::boolean) return;
    Numbers truths = some(input, sizes_of(model, 1, 2));
    std::get<std::vector<std::uint8_t>>(truths)[1] = 2;
    expect_error(input.name + "[1]: expected 0 or 1, got 2",
                 [&] { model.run(with(some(model, 1, 2), input.name, truths), 1, 2); });
}

void check(const std::filesystem::path &bundle)
{
    const Model model(bundle);
    check_files(bundle);
    check_sizes(model);
    check_state(model);
    check_session(model);
    for (const Input &input : model.signature().inputs) {
        check_unknown_tokens(model, input);
        check_truths(model, input);
    }
}

} // namespace

int main(int count, char **arguments)
{
    if (count < 2) {
        std::fprintf(stderr, "usage: %s FOLDER...\n", arguments[0]);
        return 2;
    }
    try {
        for (int i = 1; i < count; i++) check(arguments[i]);
    } catch (const std::exception &problem) {
        std::fprintf(stderr, "errors: %s\n", problem.what());
        return 1;
    }
}
