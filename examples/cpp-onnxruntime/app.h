/* What the two programs share. */
#pragma once

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>

#include "recurrent.h"

/** Open a bundle of the folder $MODELS, or models. */
inline recurrent::Model open_model(const std::string &name)
{
    const char *folder = std::getenv("MODELS");
    return recurrent::Model(std::filesystem::path(folder && *folder ? folder : "models") / name);
}

/** Run a program's work; an exception becomes a message and the exit status 1. */
template <typename Work> int reporting(Work work)
{
    try {
        work();
        if (std::fflush(stdout) || std::ferror(stdout))
            throw recurrent::Error("expected to write, got a full or closed output");
        return 0;
    } catch (const std::exception &problem) {
        std::fflush(stdout);
        std::fprintf(stderr, "error: %s\n", problem.what());
        return 1;
    }
}
