/* ONNX Runtime with objects that release themselves and errors that are exceptions. recurrent.cpp alone sees it. */
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ort_api.h"
#include "recurrent.h"

namespace ort {

template <typename Object> using Handle = std::unique_ptr<Object, void (*)(Object *)>;

/** The version of the loaded library. */
std::string version();

/** A loaded .onnx file. */
class Network {
public:
    explicit Network(const std::filesystem::path &file);

private:
    friend class Call;
    Handle<OrtSession> session_;
};

/** A call with its tensors in place: each run reads what then lies in the inputs and overwrites the outputs.
 * Network, names and numbers belong to the caller, must outlive this, and may not be resized. */
class Call {
public:
    explicit Call(const Network &network) : network_(network) {}
    void input(const std::string &name, recurrent::Numbers &numbers, const std::vector<std::int64_t> &shape);
    void output(const std::string &name, recurrent::Numbers &numbers, const std::vector<std::int64_t> &shape);
    void run();

private:
    const Network &network_;
    std::vector<Handle<OrtValue>> tensors_;
    std::vector<const char *> input_names_, output_names_;
    std::vector<const OrtValue *> inputs_;
    std::vector<OrtValue *> outputs_;
};

} // namespace ort
