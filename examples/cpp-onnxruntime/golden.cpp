/* golden FOLDER...: run a bundle's golden vectors, whole and step by step, and compare with eager PyTorch's results. */
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "recurrent.h"

namespace {

using recurrent::Error;
using recurrent::Numbers;
using recurrent::Sizes;
using recurrent::Tensors;
using Json = nlohmann::json;

constexpr std::size_t rounds = 11, steps_a_round = 1000;

/* golden/index.json, and golden/tensors.bin: raw, little-endian. */
struct Golden {
    Json cases;
    std::string tensors;
};

struct Tally {
    std::size_t whole = 0, streamed = 0;
    double worst = 0, share = 0; /* the largest error, and the largest part of what is allowed */
};

std::string read_file(const std::filesystem::path &file)
{
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw Error("expected the file " + file.string() + ", got none; name a bundle's folder");
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

Golden read_golden(const std::filesystem::path &folder)
{
    const std::uint16_t one = 1;
    if (!reinterpret_cast<const unsigned char &>(one)) throw Error("expected a little-endian processor, got another");
    const Json index = Json::parse(read_file(folder / "index.json"), nullptr, false); /* false: no exceptions */
    Golden golden{index.is_object() ? index.value("cases", Json()) : Json(), read_file(folder / "tensors.bin")};
    if (golden.cases.empty()) throw Error((folder / "index.json").string() + ": expected golden vectors, got none");
    return golden;
}

/* Tell which numbers of a large tensor the file holds: each first, second, third, ... one. */
std::size_t every_of(const Json &entry)
{
    return std::max<std::size_t>(1, entry.value("every", std::size_t{1}));
}

template <typename Number> std::vector<Number> numbers_at(const Golden &golden, const Json &entry)
{
    std::size_t count = 1;
    for (const Json &size : entry.at("shape")) count *= size.get<std::size_t>();
    const auto offset = entry.at("offset").get<std::size_t>();
    const std::size_t every = every_of(entry), stored = count / every + (count % every != 0);
    if (offset > golden.tensors.size() || stored > (golden.tensors.size() - offset) / sizeof(Number))
        throw Error("golden/tensors.bin: expected " + std::to_string(stored) + " numbers at byte " +
                    std::to_string(offset) + ", got the end of the file");
    std::vector<Number> numbers(count);
    const char *from = golden.tensors.data() + offset;
    for (std::size_t i = 0; i < count; i += every, from += sizeof(Number)) std::memcpy(&numbers[i], from, sizeof(Number));
    return numbers;
}

Numbers given(const Golden &golden, const Json &entry)
{
    if (entry.at("dtype") == "int64") return numbers_at<std::int64_t>(golden, entry);
    if (entry.at("dtype") == "bool") return numbers_at<std::uint8_t>(golden, entry);
    return numbers_at<float>(golden, entry);
}

std::vector<double> expected(const Golden &golden, const Json &entry)
{
    if (entry.at("dtype") == "float64") return numbers_at<double>(golden, entry);
    return std::visit([](const auto &typed) { return std::vector<double>(typed.begin(), typed.end()); },
                      given(golden, entry));
}

/* Where time step t of a tensor lies: pieces of `inner` numbers, `stride` apart; all of it, if it has no time. */
struct Slice {
    std::size_t first, inner, stride;
};

Slice slice(const recurrent::Tensor &tensor, const Sizes &sizes, std::size_t t)
{
    const auto shape = tensor.shape(sizes);
    if (!std::count(tensor.axes.begin(), tensor.axes.end(), recurrent::time_axis))
        return {0, tensor.count(sizes), tensor.count(sizes)};
    std::size_t inner = 1;
    for (std::size_t k = shape.size(); k-- && tensor.axes[k] != recurrent::time_axis;)
        inner *= static_cast<std::size_t>(shape[k]);
    return {t * inner, inner, sizes.steps * inner};
}

/* One time step [batch, ...] of a whole tensor. */
Numbers take_step(const Numbers &whole, const Slice &at)
{
    return std::visit(
        [&](const auto &from) -> Numbers {
            std::decay_t<decltype(from)> step;
            for (std::size_t begin = at.first; begin < from.size(); begin += at.stride)
                for (std::size_t i = 0; i < at.inner; i++) step.push_back(from[begin + i]);
            return step;
        },
        whole);
}

/* Put the outputs of one time step to their place. */
void place_step(const Numbers &step, const Slice &at, Numbers &whole)
{
    std::visit(
        [&](auto &to) {
            auto from = std::get<std::decay_t<decltype(to)>>(step).begin();
            for (std::size_t begin = at.first; begin < to.size(); begin += at.stride)
                for (std::size_t i = 0; i < at.inner; i++) to[begin + i] = *from++;
        },
        whole);
}

/* What a size that is neither time nor batch is in a case. */
std::size_t other_size(const recurrent::Signature &signature, const Json &call, std::int64_t axis)
{
    for (const recurrent::Input &input : signature.inputs)
        for (std::size_t k = 0; k < input.axes.size(); k++)
            if (input.axes[k] == axis) return call.at(input.name).at("shape").at(k);
    return 1;
}

Sizes sizes_of(const recurrent::Signature &signature, const Json &entry)
{
    Sizes sizes{entry.at("time"), entry.at("batch")};
    for (std::size_t k = 0; k < signature.free_sizes.size(); k++)
        sizes.others.push_back(
            other_size(signature, entry.at("call"), recurrent::batch_axis - 1 - static_cast<std::int64_t>(k)));
    return sizes;
}

/* One case of the index, run by a model. */
class Case {
public:
    Case(const recurrent::Model &model, const Golden &golden, const Json &entry)
        : model_(model), golden_(golden), entry_(entry), sizes_(sizes_of(model.signature(), entry))
    {
        for (const recurrent::Input &input : model.signature().inputs)
            inputs_.emplace(input.name, given(golden, entry.at("call").at(input.name)));
        for (const recurrent::Leaf &leaf : model.signature().state)
            state_.push_back(given(golden, entry.at("call").at(leaf.name)));
    }

    recurrent::Results whole() const { return model_.run(inputs_, sizes_.steps, sizes_.batch, state_); }

    recurrent::Results streamed() const
    {
        recurrent::Session session(model_, sizes_.batch);
        session.reset(state_);
        Tensors outputs;
        for (const recurrent::Tensor &output : model_.signature().outputs)
            outputs.emplace(output.name, given(golden_, entry_.at("float32").at(output.name)));
        for (std::size_t t = 0; t < sizes_.steps; t++) {
            const Tensors &step = session.step(step_inputs(t));
            for (const recurrent::Tensor &output : model_.signature().outputs)
                place_step(step.at(output.name), slice(output, sizes_, t), outputs.at(output.name));
        }
        return {outputs, session.state()};
    }

    /* The inputs [batch, ...] of time step t. */
    Tensors step_inputs(std::size_t t) const
    {
        Tensors step;
        for (const recurrent::Input &input : model_.signature().inputs)
            step.emplace(input.name, take_step(inputs_.at(input.name), slice(input, sizes_, t)));
        return step;
    }

    /* Compare all results with float64's; throws Error with the first number that is off. */
    void check(const std::string &how, const recurrent::Results &result, Tally &tally) const
    {
        for (const auto &[name, numbers] : result.outputs) compare(how, name, numbers, tally);
        for (std::size_t k = 0; k < result.state.size(); k++)
            compare(how, model_.signature().state[k].output_name, result.state[k], tally);
    }

private:
    void compare(const std::string &how, const std::string &name, const Numbers &got, Tally &tally) const
    {
        const std::vector<double> want = expected(golden_, entry_.at("float64").at(name));
        const double allowed = entry_.at("tolerance").at(name);
        const std::vector<double> have =
            std::visit([](const auto &typed) { return std::vector<double>(typed.begin(), typed.end()); }, got);
        if (have.size() != want.size())
            throw Error(place(how, name) + ": expected " + std::to_string(want.size()) + " numbers, got " +
                        std::to_string(have.size()));
        const Json undecided = entry_.value("undecided", Json::object()); /* by rounding: either value is right */
        const std::vector<double> open =
            undecided.contains(name) ? expected(golden_, undecided.at(name)) : std::vector<double>(want.size());
        for (std::size_t i = 0, every = every_of(entry_.at("float64").at(name)); i < want.size(); i += every) {
            const bool right = have[i] == want[i] || open[i] != 0; /* an infinity, where it is the same one */
            const double error = right ? 0 : std::abs(have[i] - want[i]);
            if (!(error <= allowed)) throw Error(off(how, name, i, want[i], have[i], allowed)); /* so is NaN */
            tally.worst = std::max(tally.worst, error);
            if (error > 0) tally.share = std::max(tally.share, error / allowed);
        }
    }

    std::string place(const std::string &how, const std::string &name) const
    {
        return entry_.at("name").get<std::string>() + " " + how + ": " + name;
    }

    std::string off(const std::string &how, const std::string &name, std::size_t i, double want, double have,
                    double allowed) const
    {
        char text[160];
        std::snprintf(text, sizeof text, "[%zu]: expected %.9g, got %.9g, off by %.1e, allowed %.1e", i, want, have,
                      std::abs(have - want), allowed);
        return place(how, name) + text;
    }

    const recurrent::Model &model_;
    const Golden &golden_;
    const Json &entry_;
    Sizes sizes_;
    Tensors inputs_;
    recurrent::State state_;
};

double microseconds(recurrent::Session &session, const Tensors &inputs, std::size_t steps)
{
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < steps; i++) session.step(inputs);
    const std::chrono::duration<double, std::micro> passed = std::chrono::steady_clock::now() - begin;
    return passed.count() / static_cast<double>(steps);
}

/* The median of several rounds, each of a tenth of a second at most. */
double median_step(const recurrent::Model &model, const Tensors &inputs)
{
    recurrent::Session session(model);
    microseconds(session, inputs, 10);
    const double slow = microseconds(session, inputs, 10);
    const auto steps = static_cast<std::size_t>(std::clamp(1e5 / slow, 1.0, double(steps_a_round)));
    microseconds(session, inputs, steps);
    std::vector<double> times;
    for (std::size_t i = 0; i < rounds; i++) times.push_back(microseconds(session, inputs, steps));
    std::sort(times.begin(), times.end());
    return times[rounds / 2];
}

Tally run_all(const recurrent::Model &model, const Golden &golden)
{
    Tally tally;
    for (const Json &entry : golden.cases) {
        const Case one(model, golden, entry);
        one.check("whole", one.whole(), tally);
        tally.whole++;
        if (entry.at("kind") != "run") continue;
        one.check("streamed", one.streamed(), tally);
        tally.streamed++;
    }
    return tally;
}

Tensors step_of_one_row(const recurrent::Model &model, const Golden &golden)
{
    for (const Json &entry : golden.cases)
        if (entry.at("batch") == 1) return Case(model, golden, entry).step_inputs(0);
    throw Error("expected a golden vector of batch 1, got none");
}

void check(const std::filesystem::path &bundle)
{
    const recurrent::Model model(bundle);
    try {
        const Golden golden = read_golden(bundle / "golden");
        const Tally tally = run_all(model, golden);
        std::printf("%s: %zu vectors whole, %zu streamed, worst error %.1e (%.0f%% of allowed), %.2f us per step\n",
                    model.name().c_str(), tally.whole, tally.streamed, tally.worst, 100 * tally.share,
                    median_step(model, step_of_one_row(model, golden)));
        std::fflush(stdout);
    } catch (const std::exception &problem) {
        throw Error(model.name() + ": " + problem.what());
    }
}

} // namespace

int main(int count, char **arguments)
{
    if (count < 2) {
        std::fprintf(stderr, "usage: %s FOLDER...\n", arguments[0]);
        return 2;
    }
    int status = 0;
    for (int i = 1; i < count; i++) {
        try {
            check(arguments[i]);
        } catch (const std::exception &problem) {
            std::fprintf(stderr, "%s\n", problem.what());
            status = 1;
        }
    }
    return status;
}
