/* stream NAME: read numbers from standard input, one time step a line, and write the outputs of each step as a line;
 * stream --version tells which runtime computes them. Of several inputs the numbers stand one after another, in the
 * manifest's order; truth values are 0 and 1. */
#include <iostream>
#include <sstream>

#include "app.h"

namespace {

using recurrent::Type;

/* Read numbers of a tensor off a line; whether they are all there, the stream tells. */
template <typename Number> recurrent::Numbers parse(std::istream &words, std::size_t count)
{
    std::vector<Number> numbers(count);
    for (Number &number : numbers) words >> number;
    return numbers;
}

recurrent::Numbers parse_truths(std::istream &words, std::size_t count)
{
    std::vector<std::uint8_t> truths(count);
    for (std::uint8_t &truth : truths) {
        int number = 2;
        words >> number;
        if (number != 0 && number != 1) words.setstate(std::ios::failbit);
        truth = number == 1;
    }
    return truths;
}

recurrent::Numbers parse(const recurrent::Tensor &tensor, std::istream &words, std::size_t count)
{
    if (tensor.type == Type::int64) return parse<std::int64_t>(words, count);
    if (tensor.type == Type::boolean) return parse_truths(words, count);
    return parse<float>(words, count);
}

/* A step of one row; other free sizes are 1. */
recurrent::Tensors read(const std::string &line, const recurrent::Signature &signature, std::size_t at)
{
    const recurrent::Sizes sizes{1, 1, std::vector<std::size_t>(signature.free_sizes.size(), 1)};
    std::istringstream words(line);
    recurrent::Tensors step;
    std::size_t expected = 0;
    for (const recurrent::Input &input : signature.inputs) {
        const std::size_t count = input.count(sizes);
        step.emplace(input.name, parse(input, words, count));
        expected += count;
    }
    const bool complete = !words.fail();
    if (complete && (words >> std::ws).eof()) return step;
    throw recurrent::Error("line " + std::to_string(at) + ": expected " + std::to_string(expected) +
                           " numbers, got \"" + line + "\"");
}

void write(const recurrent::Signature &signature, const recurrent::Tensors &outputs)
{
    const char *blank = "";
    for (const recurrent::Tensor &output : signature.outputs)
        std::visit(
            [&](const auto &numbers) {
                for (const auto number : numbers) {
                    std::printf("%s%.9g", blank, static_cast<double>(number));
                    blank = " ";
                }
            },
            outputs.at(output.name));
    std::printf("\n");
    std::fflush(stdout);
}

void stream(const std::string &name)
{
    const recurrent::Model model = open_model(name);
    recurrent::Session session(model);
    std::size_t at = 0;
    for (std::string line; std::getline(std::cin, line);)
        write(model.signature(), session.step(read(line, model.signature(), ++at)));
}

} // namespace

int main(int count, char **arguments)
{
    if (count != 2) {
        std::fprintf(stderr, "usage: %s NAME < NUMBERS\n", arguments[0]);
        return 2;
    }
    const std::string name = arguments[1];
    if (name == "--version") return reporting([] { std::puts(recurrent::runtime().c_str()); });
    return reporting([&] { stream(name); });
}
