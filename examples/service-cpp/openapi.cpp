#include "openapi.hpp"

#include <nlohmann/json.hpp>

#include "problem.hpp"

using Json = nlohmann::ordered_json;

static const std::string MODEL = "{model}";

static std::string replaced(std::string text, const std::string &name)
{
    for (std::size_t at = 0; (at = text.find(MODEL, at)) != text.npos; at += name.size())
        text.replace(at, MODEL.size(), name);
    return text;
}

// Put the entries of each model in the place of the one that is about any.
static Json expand(const Json &entries, const std::vector<Model> &models)
{
    auto expanded = Json::object();
    for (const auto &[key, value] : entries.items()) {
        if (key.find(MODEL) == key.npos) expanded[key] = value;
    }
    for (const Model &model : models) {
        for (const auto &[key, value] : entries.items()) {
            if (key.find(MODEL) != key.npos)
                expanded[replaced(key, model.name)] = Json::parse(replaced(value.dump(), model.name));
        }
    }
    return expanded;
}

static std::string axis_name(const TensorFacts &facts, std::size_t axis)
{
    if (axis == facts.time_axis) return "time";
    if (axis == facts.batch_axis) return "batch";
    return facts.shape[axis] < 0 ? "any" : std::to_string(facts.shape[axis]);
}

// A tensor as a request or an answer has it: its name, datatype and shape are known.
static Json tensor_schema(const TensorFacts &facts)
{
    auto axes = Json::array();
    std::string names;
    for (std::size_t axis = 0; axis < facts.shape.size(); axis++) {
        const std::string name = axis_name(facts, axis);
        names += (axis ? ", " : "") + name;
        axes.push_back(facts.shape[axis] < 0 ? Json{{"type", "integer"}, {"minimum", 1}, {"title", name}}
                                             : Json{{"const", facts.shape[axis]}});
    }
    const Json shape{
        {"type", "array"}, {"prefixItems", axes}, {"minItems", axes.size()}, {"maxItems", axes.size()}};
    return {{"type", "object"},
            {"title", facts.name},
            {"description", text(facts.role, ": ", facts.datatype_name(), " [", names, "]")},
            {"required", {"name", "datatype", "shape"}},
            {"properties",
             {{"name", {{"const", facts.name}}},
              {"datatype", {{"const", facts.datatype_name()}}},
              {"shape", shape},
              {"data", {{"$ref", text("#/components/schemas/", facts.datatype_name())}}},
              {"parameters", {{"type", "object"}}}}}};
}

static Json any_of(const std::vector<TensorFacts> &tensors, const std::vector<TensorFacts> &leaves)
{
    auto schemas = Json::array();
    for (const auto *some : {&tensors, &leaves})
        for (const TensorFacts &facts : *some) schemas.push_back(tensor_schema(facts));
    return {{"anyOf", schemas}};
}

std::string describe_api(const std::vector<Model> &models)
{
    Json api = Json::parse(openapi_text);
    api["paths"] = expand(api["paths"], models);
    Json &schemas = api["components"]["schemas"];
    schemas = expand(schemas, models);
    for (const Model &model : models) {
        schemas[model.name + ".input"] = any_of(model.inputs, model.state_in);
        schemas[model.name + ".output"] = any_of(model.outputs, model.state_out);
    }
    return api.dump();
}
