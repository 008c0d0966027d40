#include "ort.h"

#include <dlfcn.h>

#include <cstdlib>

namespace ort {

using recurrent::Error;

namespace {

constexpr std::uint32_t api_version = 16; /* any later release has it, too */

/* The library from $ORT_LIBRARY, or from where the loader looks: beside the program, then the system's folders. */
void *open_library()
{
    const char *chosen = std::getenv("ORT_LIBRARY");
    const char *name = chosen && *chosen ? chosen : "libonnxruntime.so.1";
    if (void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    throw Error(std::string("expected ONNX Runtime, got ") + dlerror() +
                "; set ORT_LIBRARY to the libonnxruntime.so.1.* in the folder onnxruntime/capi of the Python package");
}

/* The one library of a process. It is never closed: nothing that it has handed out can outlive it. */
struct Library {
    const char *version = "";
    const OrtApi *api = nullptr;
    Handle<OrtEnv> environment{nullptr, nullptr};
    Handle<OrtMemoryInfo> memory{nullptr, nullptr};

    Library();
    void check(OrtStatus *status) const;
};

const Library &library()
{
    static const Library loaded;
    return loaded;
}

Library::Library()
{
    using GetApiBase = const OrtApiBase *(*)();
    auto get_base = reinterpret_cast<GetApiBase>(dlsym(open_library(), "OrtGetApiBase"));
    if (!get_base) throw Error("expected a library with OrtGetApiBase, got another one; see ORT_LIBRARY");
    version = get_base()->GetVersionString();
    api = get_base()->GetApi(api_version);
    if (!api) throw Error(std::string("expected ONNX Runtime 1.16 or newer, got ") + version + "; update it");

    OrtEnv *new_environment = nullptr;
    /* Errors come as exceptions, so that the library need not write them, too. */
    check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "recurrent", &new_environment));
    environment = {new_environment, api->ReleaseEnv};
    OrtMemoryInfo *new_memory = nullptr;
    check(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &new_memory));
    memory = {new_memory, api->ReleaseMemoryInfo};
}

void Library::check(OrtStatus *status) const
{
    if (!status) return;
    Handle<OrtStatus> failed(status, api->ReleaseStatus);
    throw Error(std::string("ONNX Runtime: ") + api->GetErrorMessage(status));
}

/* One thread computes: that of the caller. The steps of such nets are too small to share. */
Handle<OrtSessionOptions> single_threaded()
{
    const Library &ort = library();
    OrtSessionOptions *options = nullptr;
    ort.check(ort.api->CreateSessionOptions(&options));
    Handle<OrtSessionOptions> owned(options, ort.api->ReleaseSessionOptions);
    ort.check(ort.api->SetIntraOpNumThreads(options, 1));
    return owned;
}

OrtSession *load(const std::filesystem::path &file)
{
    const Library &ort = library();
    OrtSession *session = nullptr;
    ort.check(ort.api->CreateSession(ort.environment.get(), file.c_str(), single_threaded().get(), &session));
    return session;
}

template <typename Number>
Handle<OrtValue> tensor(std::vector<Number> &numbers, const std::vector<std::int64_t> &shape)
{
    constexpr auto type = sizeof(Number) == sizeof(float)         ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                          : sizeof(Number) == sizeof(std::int64_t) ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
                                                                   : ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
    const Library &ort = library();
    OrtValue *value = nullptr;
    ort.check(ort.api->CreateTensorWithDataAsOrtValue(ort.memory.get(), numbers.data(), numbers.size() * sizeof(Number),
                                                      shape.data(), shape.size(), type, &value));
    return {value, ort.api->ReleaseValue};
}

Handle<OrtValue> tensor(recurrent::Numbers &numbers, const std::vector<std::int64_t> &shape)
{
    return std::visit([&](auto &typed) { return tensor(typed, shape); }, numbers);
}

} // namespace

std::string version()
{
    return library().version;
}

Network::Network(const std::filesystem::path &file) : session_(load(file), library().api->ReleaseSession) {}

void Call::input(const std::string &name, recurrent::Numbers &numbers, const std::vector<std::int64_t> &shape)
{
    tensors_.push_back(tensor(numbers, shape));
    input_names_.push_back(name.c_str());
    inputs_.push_back(tensors_.back().get());
}

void Call::output(const std::string &name, recurrent::Numbers &numbers, const std::vector<std::int64_t> &shape)
{
    tensors_.push_back(tensor(numbers, shape));
    output_names_.push_back(name.c_str());
    outputs_.push_back(tensors_.back().get());
}

void Call::run()
{
    const Library &ort = library();
    ort.check(ort.api->Run(network_.session_.get(), nullptr, input_names_.data(), inputs_.data(), inputs_.size(),
                           output_names_.data(), outputs_.size(), outputs_.data()));
}

} // namespace ort
