// The file that keeps sessions from a graceful stop to the next start.
#pragma once

#include <filesystem>

#include "sessions.hpp"

// Write all sessions: a new file takes the old one's place, so that there is never half of one.
// Throws std::runtime_error if the disk will not.
void save_sessions(const Sessions &sessions, const std::filesystem::path &file);

// What became of a file's sessions.
struct Restored {
    std::size_t sessions = 0;
    std::size_t changed = 0; // left out, as their model is not the same any more
    std::size_t refused = 0; // left out, as the table is full
};

// Put the file's sessions back; no file: none. Throws std::runtime_error, which names the file, if it is damaged.
Restored restore_sessions(Sessions &sessions, const std::vector<Model> &models, const std::filesystem::path &file);
