/* library FOLDER: what is wrong with the library of ONNX Runtime is said. Silent if all is well. */
#include <cstdio>
#include <cstdlib>

#include "expect.h"
#include "recurrent.h"

namespace {

using recurrent::Model;

void check_library(const std::filesystem::path &bundle)
{
    const char *chosen = std::getenv("ORT_LIBRARY");
    const std::string before = chosen ? chosen : "";
    setenv("ORT_LIBRARY", "/missing/libonnxruntime.so.1", 1);
    expect_error("expected ONNX Runtime, got /missing/libonnxruntime.so.1", [&] { Model model(bundle); });
    setenv("ORT_LIBRARY", "libdl.so.2", 1);
    expect_error("expected a library with OrtGetApiBase", [&] { Model model(bundle); });
    setenv("ORT_LIBRARY", before.c_str(), 1);
}

} // namespace

int main(int count, char **arguments)
{
    if (count != 2) {
        std::fprintf(stderr, "usage: %s FOLDER\n", arguments[0]);
        return 2;
    }
    try {
        check_library(arguments[1]);
    } catch (const std::exception &problem) {
        std::fprintf(stderr, "library: %s\n", problem.what());
        return 1;
    }
}
