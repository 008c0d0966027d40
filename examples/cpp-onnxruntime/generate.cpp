/* generate NAME PROMPT LENGTH SEED: continue a prompt, one character at a time, the state fed back. */
#include <algorithm>
#include <cerrno>
#include <cmath>

#include "app.h"

namespace {

using recurrent::Error;
using Tokens = std::vector<std::int64_t>;

constexpr double temperature = 0.6; /* below 1: safer; above 1: wilder */

/* Uniform numbers in [0, 1): Tommy Ettinger's mulberry32 (public domain), the same few lines in every language. */
class Mulberry32 {
public:
    explicit Mulberry32(std::uint32_t seed) : state_(seed) {}

    double next()
    {
        state_ += 0x6D2B79F5u;
        std::uint32_t mixed = (state_ ^ (state_ >> 15)) * (state_ | 1);
        mixed ^= mixed + (mixed ^ (mixed >> 7)) * (mixed | 61);
        return (mixed ^ (mixed >> 14)) / 4294967296.0;
    }

private:
    std::uint32_t state_;
};

/* The characters of UTF-8: what follows a first byte looks like 10xxxxxx. */
std::vector<std::string> characters(const std::string &text)
{
    std::vector<std::string> result;
    for (const char byte : text) {
        if (result.empty() || (static_cast<unsigned char>(byte) & 0xC0) != 0x80) result.emplace_back();
        result.back() += byte;
    }
    return result;
}

/* Draw a token from the softmax of the logits, by where a uniform number falls in its sum. */
std::int64_t choose(const float *logits, std::size_t count, double uniform)
{
    const double largest = *std::max_element(logits, logits + count) / temperature;
    std::vector<double> cumulative;
    double total = 0;
    for (std::size_t i = 0; i < count; i++) cumulative.push_back(total += std::exp(logits[i] / temperature - largest));
    if (!std::isfinite(total)) throw Error("expected finite logits, got NaN or infinity; look at the model's weights");
    return std::upper_bound(cumulative.begin(), cumulative.end(), uniform * total) - cumulative.begin();
}

std::vector<std::string> vocabulary(const recurrent::Model &model)
{
    std::vector<std::string> result = characters(model.vocabulary());
    const recurrent::Signature &signature = model.signature();
    const bool of_one = signature.inputs.size() == 1 && signature.outputs.size() == 1;
    if (result.empty() || !of_one || signature.inputs[0].type != recurrent::Type::int64 ||
        signature.inputs[0].count({}) != 1)
        throw Error(model.name() + ": expected a text model, got one without a vocabulary or token ids");
    const std::size_t logits = signature.outputs[0].count({});
    if (logits != result.size())
        throw Error(model.name() + ": expected a logit for each of " + std::to_string(result.size()) +
                    " characters, got " + std::to_string(logits));
    return result;
}

Tokens encode(const std::vector<std::string> &known, const std::string &prompt)
{
    Tokens tokens;
    for (const std::string &character : characters(prompt)) {
        const auto found = std::find(known.begin(), known.end(), character);
        if (found == known.end()) throw Error("expected characters of the vocabulary, got '" + character + "'");
        tokens.push_back(found - known.begin());
    }
    if (tokens.empty()) throw Error("expected a prompt of one or more characters, got none");
    return tokens;
}

void generate(const std::string &name, const std::string &prompt, long long length, std::uint32_t seed)
{
    const recurrent::Model model = open_model(name);
    const std::vector<std::string> known = vocabulary(model);
    const Tokens tokens = encode(known, prompt);
    const auto [outputs, state] = model.run(tokens, tokens.size(), 1);
    recurrent::Session session(model);
    session.reset(state);
    Mulberry32 numbers(seed);
    std::fputs(prompt.c_str(), stdout);
    const float *logits = outputs.data() + outputs.size() - known.size(); /* of the last time step */
    for (long long i = 0; i < length; i++) {
        const std::int64_t token = choose(logits, known.size(), numbers.next());
        std::fputs(known[static_cast<std::size_t>(token)].c_str(), stdout);
        std::fflush(stdout);
        logits = session.step(Tokens{token}).data();
    }
    std::puts("");
}

bool is_integer(const char *text, long long *value)
{
    char *end = nullptr;
    errno = 0;
    *value = std::strtoll(text, &end, 10);
    return *text && !*end && !errno;
}

} // namespace

int main(int count, char **arguments)
{
    long long length = 0, seed = 0;
    if (count != 5 || !is_integer(arguments[3], &length) || length < 0 || !is_integer(arguments[4], &seed)) {
        std::fprintf(stderr, "usage: %s NAME PROMPT LENGTH SEED\n", arguments[0]);
        return 2;
    }
    return reporting([&] { generate(arguments[1], arguments[2], length, static_cast<std::uint32_t>(seed)); });
}
