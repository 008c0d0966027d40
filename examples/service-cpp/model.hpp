// The models that are served: what a bundle's manifest tells of them, and the code of its model.c.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "recurrent.h"

enum class Datatype { fp32, int64, boolean };

// A tensor of a model's signature.
struct TensorFacts {
    std::string name;
    Datatype datatype;
    std::vector<int64_t> shape; // -1 for time and batch, as the protocol has it
    std::optional<std::size_t> time_axis, batch_axis;
    std::size_t row;                 // numbers for each row and time step
    std::size_t vocabulary_size = 0; // token ids are 0 to one less; 0: not known, or no ids
    std::string role{};              // sequence, context, output or state
    std::string other_name{};        // of a leaf of the state: where it comes out, or where it goes in
    std::string initial{};           // JSON: all numbers of a leaf's first value, where they are the same

    // Bytes of a number: in the protocol, and in C, whose truth values are int32_t.
    std::size_t width() const { return datatype == Datatype::int64 ? 8 : datatype == Datatype::fp32 ? 4 : 1; }
    std::size_t width_in_c() const { return datatype == Datatype::int64 ? 8 : 4; }
    const char *datatype_name() const
    {
        return datatype == Datatype::int64 ? "INT64" : datatype == Datatype::fp32 ? "FP32" : "BOOL";
    }
    std::vector<int64_t> sized(std::size_t steps, std::size_t batch) const;
    std::size_t count(std::size_t steps, std::size_t batch) const;
};

struct Model {
    const RecurrentModel *net;
    std::string name;   // of its folder
    std::string sha256; // of model.c: two builds with the same one compute the same
    std::vector<TensorFacts> inputs, outputs;
    std::vector<TensorFacts> state_in, state_out; // leaf by leaf
};

// Read the manifests of all models of this program, models/NAME/manifest.json.
// Throws std::runtime_error where one is missing, or is not that of the code.
std::vector<Model> load_models(const std::filesystem::path &folder);
