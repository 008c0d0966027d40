/* What a bundle's manifest.json says; for recurrent.cpp alone. */
#pragma once

#include <filesystem>
#include <string>

#include "recurrent.h"

namespace recurrent {

struct Manifest {
    std::string name;
    std::string vocabulary;
    Signature signature;
};

/** Throws Error if it cannot be read, or describes a net that these sources cannot run. */
Manifest read_manifest(const std::filesystem::path &file);

} // namespace recurrent
