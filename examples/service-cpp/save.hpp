// The file that keeps sessions from a graceful stop to the next start.
#pragma once

#include <filesystem>

#include "sessions.hpp"

// Write all sessions: a new file takes the old one's place, so that there is never half of one.
// Throws std::runtime_error if the disk will not.
void save_sessions(const Sessions &sessions, const std::filesystem::path &file);

// Put the file's sessions back, those whose model is the same still; say on stderr how many are not. No file: none.
// Throws std::runtime_error, which names the file, if it is damaged.
void restore_sessions(Sessions &sessions, const std::vector<Model> &models, const std::filesystem::path &file);
