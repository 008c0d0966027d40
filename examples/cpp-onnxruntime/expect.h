/* What the checks of errors share. */
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

#include "recurrent.h"

inline void expect(bool holds, const std::string &what)
{
    if (!holds) throw std::runtime_error("expected " + what + ", got something else");
}

/* The call must throw an Error whose message tells this. */
inline void expect_error(const std::string &message, const std::function<void()> &call)
{
    try {
        call();
    } catch (const recurrent::Error &error) {
        const std::string got = error.what();
        if (got.find(message) != std::string::npos) return;
        throw std::runtime_error("expected an error with \"" + message + "\", got \"" + got + "\"");
    }
    throw std::runtime_error("expected an error with \"" + message + "\", got none");
}
