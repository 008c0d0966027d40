#include "manifest.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <type_traits>

namespace recurrent {

namespace {

using Json = nlohmann::json;

constexpr int format_version = 2;

std::int64_t axis(const Json &size, std::vector<std::string> &free_sizes)
{
    if (size == "time") return time_axis;
    if (size == "batch") return batch_axis;
    if (size.is_string()) {
        const auto known = std::find(free_sizes.begin(), free_sizes.end(), size.get<std::string>());
        const std::int64_t place = known - free_sizes.begin();
        if (known == free_sizes.end()) free_sizes.push_back(size);
        return batch_axis - 1 - place;
    }
    if (size.is_number_unsigned() && size > 0) return size.get<std::int64_t>();
    throw Error("expected an axis that is a name or a size, got " + size.dump());
}

Tensor tensor(const Json &entry, std::vector<std::string> &free_sizes)
{
    static const std::map<std::string, Type> types{
        {"float32", Type::float32}, {"int64", Type::int64}, {"bool", Type::boolean}};
    Tensor result;
    result.name = entry.at("name").get<std::string>();
    const auto dtype = entry.at("dtype").get<std::string>();
    if (!types.count(dtype))
        throw Error(result.name + ": expected float32, int64 or bool, got " + dtype + "; export a float32 model");
    result.type = types.at(dtype);
    result.flattened = entry.value("flattened", false);
    for (const Json &size : entry.at("shape")) result.axes.push_back(axis(size, free_sizes));
    return result;
}

/* JSON has no number that is infinite: the manifest has a word instead. */
template <typename Number> Number number(const Json &value)
{
    if constexpr (std::is_floating_point_v<Number>) {
        if (value == "Infinity") return std::numeric_limits<Number>::infinity();
        if (value == "-Infinity") return -std::numeric_limits<Number>::infinity();
    }
    if (value.is_boolean()) return value.get<bool>();
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

Leaf leaf(const Json &entry, std::vector<std::string> &free_sizes)
{
    Leaf result{tensor(entry, free_sizes), entry.at("output_name").get<std::string>(), {}};
    if (std::count(result.axes.begin(), result.axes.end(), batch_axis) != 1)
        throw Error(result.name + ": expected one axis \"batch\", got " + entry.at("shape").dump());
    const std::size_t count = result.count({});
    if (result.type == Type::int64) result.initial = row<std::int64_t>(entry.at("initial"), count);
    if (result.type == Type::boolean) result.initial = row<std::uint8_t>(entry.at("initial"), count);
    if (result.type == Type::float32) result.initial = row<float>(entry.at("initial"), count);
    return result;
}

Signature signature(const Json &entry)
{
    if (!entry.at("streamable").get<bool>() || entry.at("lengths").get<bool>())
        throw Error("expected a streamable net without lengths, got another one; export it so");
    Signature result;
    for (const Json &each : entry.at("inputs")) {
        Input input{tensor(each, result.free_sizes), {}};
        if (each.contains("vocabulary")) input.vocabulary_size = each.at("vocabulary").get<std::int64_t>();
        result.inputs.push_back(std::move(input));
    }
    for (const Json &each : entry.at("outputs")) result.outputs.push_back(tensor(each, result.free_sizes));
    for (const Json &each : entry.at("state")) result.state.push_back(leaf(each, result.free_sizes));
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
