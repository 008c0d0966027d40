/* stream NAME: read numbers from standard input, one time step a line, and write the outputs of each step as a line;
 * stream --version tells which runtime computes them. */
#include <iostream>
#include <sstream>

#include "app.h"

namespace {

template <typename Number> recurrent::Numbers parse(const std::string &line, std::size_t expected, std::size_t at)
{
    std::istringstream words(line);
    std::vector<Number> numbers;
    for (Number number; words >> number;) numbers.push_back(number);
    if (words.eof() && numbers.size() == expected) return numbers;
    throw recurrent::Error("line " + std::to_string(at) + ": expected " + std::to_string(expected) +
                           " numbers, got \"" + line + "\"");
}

void write(const std::vector<float> &outputs)
{
    for (std::size_t i = 0; i < outputs.size(); i++)
        std::printf("%s%.9g", i ? " " : "", static_cast<double>(outputs[i]));
    std::printf("\n");
    std::fflush(stdout);
}

void stream(const std::string &name)
{
    const recurrent::Model model = open_model(name);
    const recurrent::Tensor &inputs = model.signature().inputs;
    const std::size_t count = inputs.count(1, 1);
    recurrent::Session session(model);
    std::size_t at = 0;
    for (std::string line; std::getline(std::cin, line);) {
        at++;
        write(session.step(inputs.is_int64 ? parse<std::int64_t>(line, count, at) : parse<float>(line, count, at)));
    }
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
