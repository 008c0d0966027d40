#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <span>

#include "problem.hpp"
#include "protocol.hpp"

static_assert(std::endian::native == std::endian::little, "binary tensors are little-endian");

using OrderedJson = nlohmann::ordered_json;

// Give the numbers of an output as C has them.
static std::span<const std::byte> bytes_of(const WantedOutput &output, const InferRequest &request,
                                           const InferResult &result)
{
    if (output.place) return result.outputs[*output.place];
    const std::size_t size = output.facts->count(request.steps, request.batch) * output.facts->width_in_c();
    return std::as_bytes(std::span(result.state)).subspan(output.offset * request.batch * sizeof(float), size);
}

void check_answer(const InferRequest &request, const InferResult &result)
{
    for (const WantedOutput &output : request.outputs) {
        if (output.binary || output.facts->datatype != Datatype::fp32) continue;
        const auto bytes = bytes_of(output, request, result);
        const std::span numbers(reinterpret_cast<const float *>(bytes.data()), bytes.size() / sizeof(float));
        for (std::size_t i = 0; i < numbers.size(); i++)
            if (!std::isfinite(numbers[i]))
                throw Problem(422, text(output.facts->name, '[', i,
                                        "]: expected a finite number, which JSON can carry, got ", numbers[i],
                                        "; ask for binary data"));
    }
}

// Write numbers as the shortest text that reads back as the same ones.
template <typename Number>
static void append_numbers(std::string &body, std::span<const std::byte> bytes)
{
    char digits[32];
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(Number)) {
        Number number; // copied: a leaf of int64 may lie at an odd place
        std::memcpy(&number, bytes.data() + at, sizeof number);
        const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
        body.append(digits, end).push_back(',');
    }
    if (!bytes.empty()) body.pop_back();
}

static bool truth_at(std::span<const std::byte> bytes, std::size_t at)
{
    int32_t value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value != 0;
}

static void append_truths(std::string &body, std::span<const std::byte> bytes)
{
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(int32_t))
        body += std::string(at ? "," : "") + (truth_at(bytes, at) ? "true" : "false");
}

static void append_data(std::string &body, Datatype datatype, std::span<const std::byte> bytes)
{
    if (datatype == Datatype::fp32) append_numbers<float>(body, bytes);
    if (datatype == Datatype::int64) append_numbers<int64_t>(body, bytes);
    if (datatype == Datatype::boolean) append_truths(body, bytes);
}

static void append_binary(std::string &body, Datatype datatype, std::span<const std::byte> bytes)
{
    if (datatype != Datatype::boolean) {
        body.append(reinterpret_cast<const char *>(bytes.data()), bytes.size());
        return;
    }
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(int32_t)) body.push_back(truth_at(bytes, at) ? 1 : 0);
}

static void append_output(std::string &body, const WantedOutput &output, const InferRequest &request,
                          const InferResult &result)
{
    const TensorFacts &facts = *output.facts;
    const auto bytes = bytes_of(output, request, result);
    OrderedJson head{{"name", facts.name},
                     {"datatype", facts.datatype_name()},
                     {"shape", facts.sized(request.steps, request.batch)}};
    if (output.binary) {
        head["parameters"] = {{"binary_data_size", bytes.size() / facts.width_in_c() * facts.width()}};
        body += head.dump();
        return;
    }
    body += head.dump();
    body.pop_back();
    body += ",\"data\":[";
    append_data(body, facts.datatype, bytes);
    body += "]}";
}

Reply write_answer(const Model &model, const InferRequest &request, const InferResult &result)
{
    OrderedJson head{{"model_name", model.name}, {"model_version", "1"}};
    if (!request.id.empty()) head["id"] = request.id;
    if (request.sequence)
        head["parameters"] = {{"sequence_id", request.sequence->id}, {"steps", *result.session_steps}};
    Reply reply;
    reply.body = head.dump();
    reply.body.back() = ',';
    reply.body += "\"outputs\":[";
    for (const WantedOutput &output : request.outputs) {
        append_output(reply.body, output, request, result);
        reply.body += &output == &request.outputs.back() ? "]}" : ",";
    }
    const auto is_binary = [](const WantedOutput &output) { return output.binary; };
    if (std::none_of(request.outputs.begin(), request.outputs.end(), is_binary)) return reply;
    reply.json_length = reply.body.size();
    reply.content_type = "application/octet-stream";
    for (const WantedOutput &output : request.outputs) {
        if (output.binary) append_binary(reply.body, output.facts->datatype, bytes_of(output, request, result));
    }
    return reply;
}

static OrderedJson describe(const TensorFacts &facts, const char *other_key)
{
    OrderedJson parameters{{"role", facts.role}};
    if (facts.time_axis) parameters["time_axis"] = *facts.time_axis;
    if (facts.batch_axis) parameters["batch_axis"] = *facts.batch_axis;
    if (facts.vocabulary_size) parameters["vocabulary"] = facts.vocabulary_size;
    if (!facts.other_name.empty()) parameters[other_key] = facts.other_name;
    if (!facts.initial.empty()) parameters["initial"] = OrderedJson::parse(facts.initial);
    return {
        {"name", facts.name}, {"datatype", facts.datatype_name()}, {"shape", facts.shape}, {"parameters", parameters}};
}

OrderedJson describe(const Model &model)
{
    auto inputs = OrderedJson::array(), outputs = OrderedJson::array();
    for (const auto *tensors : {&model.inputs, &model.state_in})
        for (const TensorFacts &facts : *tensors) inputs.push_back(describe(facts, "output_name"));
    for (const auto *tensors : {&model.outputs, &model.state_out})
        for (const TensorFacts &facts : *tensors) outputs.push_back(describe(facts, "input_name"));
    return {{"name", model.name},
            {"versions", {"1"}},
            {"platform", "rnn_export_c"},
            {"inputs", inputs},
            {"outputs", outputs}};
}

Reply json_reply(int status, const OrderedJson &json)
{
    Reply reply;
    reply.status = status;
    reply.body = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    return reply;
}

Reply error_reply(int status, const std::string &message)
{
    return json_reply(status, {{"error", message}});
}
