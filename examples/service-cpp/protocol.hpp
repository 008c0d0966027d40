// The Open Inference Protocol v2: tensors as JSON or as binary data behind the JSON, to a call of a model and back.
// https://github.com/kserve/open-inference-protocol and Triton's extensions "binary tensor data" and "sequence".
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model.hpp"

struct Reply {
    int status = 200;
    std::string body{};
    std::string content_type = "application/json";
    std::optional<std::size_t> json_length{}; // where binary data follows the JSON
    std::string allow{};                      // of a 405: the methods there are
    std::optional<std::string> sequence_id{}; // of the session that it is about, for the log
};

Reply json_reply(int status, const nlohmann::ordered_json &json);
Reply error_reply(int status, const std::string &message);

nlohmann::ordered_json describe(const Model &model);

struct Sequence {
    std::string id;
    bool start = false, end = false;
};

struct WantedOutput {
    const TensorFacts *facts;
    std::optional<std::size_t> place; // in the model's outputs; none: a leaf of the state
    std::size_t offset;               // of a leaf, in the floats of a row's state
    bool binary;
};

// A call of a model, checked: its sizes fit, and its numbers are finite.
struct InferRequest {
    std::string id;
    std::optional<Sequence> sequence;
    std::size_t steps, batch;
    std::vector<std::vector<std::byte>> inputs; // as C takes them
    std::vector<float> state;                   // the leaves one after another; empty: none came
    std::vector<WantedOutput> outputs;
};

struct InferResult {
    std::vector<std::vector<std::byte>> outputs; // as C gives them
    std::vector<float> state;
    std::optional<uint64_t> session_steps; // all that the session was fed
};

// Read a request; max_answer bounds the bytes of outputs and state. Throws Problem 400.
InferRequest parse_infer(const Model &model, std::string_view body, const std::optional<std::string> &json_length,
                         std::size_t max_answer);

// Throw Problem 422 if an output that is to be JSON holds NaN or infinity, which JSON cannot carry.
void check_answer(const InferRequest &request, const InferResult &result);
Reply write_answer(const Model &model, const InferRequest &request, const InferResult &result);
