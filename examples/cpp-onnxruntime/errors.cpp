/* errors FOLDER...: what is wrong is said, harms nothing, and a session can be taken back. Silent if all is well. */
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "expect.h"
#include "recurrent.h"

namespace {

using recurrent::Model;
using recurrent::Numbers;
using recurrent::Session;
using recurrent::State;

/* Some numbers of the right type, valid as token ids. */
Numbers some(const recurrent::Tensor &tensor, std::size_t steps, std::size_t batch, std::size_t too_many = 0)
{
    const std::size_t count = tensor.count(steps, batch) + too_many;
    if (tensor.is_int64) return std::vector<std::int64_t>(count, 1);
    return std::vector<float>(count, 0.5F);
}

Numbers other_type(const Numbers &numbers)
{
    const auto *floats = std::get_if<std::vector<float>>(&numbers);
    if (floats) return std::vector<std::int64_t>(floats->size());
    return std::vector<float>(std::get<std::vector<std::int64_t>>(numbers).size());
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
                      {"streamable": true, "lengths": false, "inputs": [{}, {}], "outputs": [{}]}})",
                   "expected one tensor of inputs and one of outputs, got 2 and 1; "
                   "call its files as report.html shows");
}

void check_sizes(const Model &model)
{
    const auto &signature = model.signature();
    const Numbers inputs = some(signature.inputs, 3, 2);
    expect_error("expected at least one time step", [&] { model.run(inputs, 0, 2); });
    expect_error("expected at least one time step", [&] { model.run(inputs, 3, 0); });
    expect_error("inputs: expected ", [&] { model.run(inputs, 4, 2); });
    expect_error("inputs: expected ", [&] { model.run(some(signature.inputs, 3, 2, 1), 3, 2); });
    expect_error("inputs: expected ", [&] { model.run(other_type(inputs), 3, 2); });
    const std::size_t huge = std::numeric_limits<std::size_t>::max();
    expect_error("fit into memory", [&] { model.run(inputs, huge / 2, huge / 2); });
    expect_error("fit into memory", [&] { model.run(inputs, huge, 1); });
    expect_error("fit into memory", [&] { model.run(inputs, 1, huge / 4); });
    expect_error("fit into memory", [&] { Session session(model, huge / 4); });
    expect_error("expected at least one time step", [&] { Session session(model, 0); });
    expect(model.run(inputs, 3, 2).state.size() == signature.state.size(), "all leaves of the state");
}

void check_state(const Model &model)
{
    const Numbers inputs = some(model.signature().inputs, 3, 2);
    State state = model.initial_state(2);
    expect_error("state_0: expected ", [&] { model.run(inputs, 3, 2, model.initial_state(1)); });
    state[0] = other_type(state[0]);
    expect_error("state_0: expected ", [&] { model.run(inputs, 3, 2, state); });
    state.pop_back();
    expect_error("leaves, got ", [&] { model.run(inputs, 3, 2, state); });
    Session session(model, 2);
    expect_error("leaves, got ", [&] { session.reset(state); });
    expect_error("state_0: expected ", [&] { session.reset(model.initial_state(3)); });
}

void check_session(const Model &model)
{
    const Numbers inputs = some(model.signature().inputs, 1, 2);
    Session session(model, 2), other(model, 2);
    const std::vector<float> first = session.step(inputs);
    const State after_first = session.state();
    const std::vector<float> second = session.step(inputs);
    const State after_second = session.state();
    expect(after_first != after_second, "a state that moves");
    expect(other.step(inputs) == first, "the same first step of another session");

    expect_error("inputs: expected ", [&] { session.step(some(model.signature().inputs, 1, 1)); });
    expect_error("inputs: expected ", [&] { session.step(other_type(inputs)); });
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
void check_unknown_tokens(const Model &model)
{
    if (!model.signature().vocabulary_size) return;
    using Tokens = std::vector<std::int64_t>;
    using Limits = std::numeric_limits<std::int64_t>;
    const std::int64_t end = *model.signature().vocabulary_size;
    Session session(model, 2);
    const State before = session.state();
    for (const std::int64_t id : {std::int64_t{-1}, end, Limits::min(), Limits::max()}) {
        const std::string message =
            "inputs[1]: expected a token id from 0 to " + std::to_string(end - 1) + ", got " + std::to_string(id);
        expect_error(message, [&] { session.step(Tokens{0, id}); });
        expect_error(message, [&] { model.run(Tokens{0, id}, 2, 1); });
    }
    expect(session.state() == before, "the state as before after an unknown token");
    session.step(Tokens{0, end - 1});
}

void check(const std::filesystem::path &bundle)
{
    const Model model(bundle);
    check_files(bundle);
    check_sizes(model);
    check_state(model);
    check_session(model);
    check_unknown_tokens(model);
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
