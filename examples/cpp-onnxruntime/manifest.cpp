#include "manifest.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

namespace recurrent {

namespace {

using Json = nlohmann::json;

constexpr int format_version = 2;

std::int64_t axis(const Json &size)
{
    if (size == "time") return time_axis;
    if (size == "batch") return batch_axis;
    if (size.is_number_unsigned() && size > 0) return size.get<std::int64_t>();
    throw Error("expected an axis that is \"time\", \"batch\" or a size, got " + size.dump());
}

Tensor tensor(const Json &entry)
{
    Tensor result;
    result.name = entry.at("name").get<std::string>();
    const auto dtype = entry.at("dtype").get<std::string>();
    if (dtype != "float32" && dtype != "int64")
        throw Error(result.name + ": expected float32 or int64, got " + dtype + "; export a float32 model");
    result.is_int64 = dtype == "int64";
    for (const Json &size : entry.at("shape")) result.axes.push_back(axis(size));
    return result;
}

/* JSON has no number that is infinite: the manifest has a word instead. */
template <typename Number> Number number(const Json &value)
{
    if constexpr (std::is_floating_point_v<Number>) {
        if (value == "Infinity") return std::numeric_limits<Number>::infinity();
        if (value == "-Infinity") return -std::numeric_limits<Number>::infinity();
    }
    return value.get<Number>();
}

template <typename Number> void flatten(const Json &value, std::vector<Number> &numbers)
{
    if (value.is_array())
        for (const Json &part : value) flatten(part, numbers);
    else
        numbers.push_back(number<Number>(value));
}

/* One row of the initial state: a number stands for a row of it. */
template <typename Number> std::vector<Number> row(const Json &initial, std::size_t count)
{
    if (!initial.is_array()) return std::vector<Number>(count, number<Number>(initial));
    std::vector<Number> numbers;
    flatten(initial, numbers);
    if (numbers.size() == count) return numbers;
    throw Error("expected an initial state of " + std::to_string(count) + " numbers a row, got " +
                std::to_string(numbers.size()));
}

Leaf leaf(const Json &entry)
{
    Leaf result{tensor(entry), entry.at("output_name").get<std::string>(), {}};
    if (std::count(result.axes.begin(), result.axes.end(), batch_axis) != 1)
        throw Error(result.name + ": expected one axis \"batch\", got " + entry.at("shape").dump());
    const std::size_t count = result.count(1, 1);
    if (result.is_int64)
        result.initial = row<std::int64_t>(entry.at("initial"), count);
    else
        result.initial = row<float>(entry.at("initial"), count);
    return result;
}

Signature signature(const Json &entry)
{
    if (!entry.at("streamable").get<bool>() || entry.at("lengths").get<bool>())
        throw Error("expected a streamable net without lengths, got another one; export it so");
    const Json &inputs = entry.at("inputs"), &outputs = entry.at("outputs");
    if (inputs.size() != 1 || outputs.size() != 1)
        throw Error("expected one tensor of inputs and one of outputs, got " + std::to_string(inputs.size()) + " and " +
                    std::to_string(outputs.size()) + "; call its files as report.html shows");
    Signature result{tensor(inputs.at(0)), {}, tensor(outputs.at(0)), {}};
    if (inputs.at(0).contains("vocabulary")) result.vocabulary_size = inputs.at(0).at("vocabulary").get<std::int64_t>();
    for (const Json &state : entry.at("state")) result.state.push_back(leaf(state));
    if (result.outputs.is_int64) throw Error("outputs: expected float32, got int64; export a float32 model");
    return result;
}

} // namespace

Manifest read_manifest(const std::filesystem::path &file)
{
    std::ifstream stream(file);
    if (!stream) throw Error("expected the file " + file.string() + ", got none; name a bundle's folder");
    try {
        const Json manifest = Json::parse(stream), &version = manifest.at("format_version");
        if (version != format_version)
            throw Error("expected manifest format " + std::to_string(format_version) + ", got " + version.dump() +
                        "; export and scaffold with one rnn-export");
        return {manifest.at("name").get<std::string>(), manifest.at("metadata").value("vocabulary", ""),
                signature(manifest.at("signature"))};
    } catch (const std::exception &problem) {
        throw Error(file.string() + ": " + problem.what());
    }
}

} // namespace recurrent
