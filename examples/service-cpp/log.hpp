// The log: lines of JSON on stderr.
#pragma once

#include <nlohmann/json.hpp>

// Write one line: level, time and event, then the fields. Any number of threads may.
void write_log(const char *event, const nlohmann::ordered_json &fields);
