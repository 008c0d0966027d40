// The description of the service in OpenAPI 3.1: openapi.json, with the models that are served.
#pragma once

#include <string>
#include <vector>

#include "model.hpp"

extern const char *const openapi_text; // the text kept by hand; {model} stands for the name of each
extern const char *const page_text;    // a page that shows the description

std::string describe_api(const std::vector<Model> &models);
