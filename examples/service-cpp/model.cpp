#include "model.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "problem.hpp"

using Json = nlohmann::json;

constexpr int format_version = 2; // of manifest.json

std::vector<int64_t> TensorFacts::sized(std::size_t steps, std::size_t batch) const
{
    auto sizes = shape;
    if (time_axis) sizes[*time_axis] = static_cast<int64_t>(steps);
    if (batch_axis) sizes[*batch_axis] = static_cast<int64_t>(batch);
    return sizes;
}

std::size_t TensorFacts::count(std::size_t steps, std::size_t batch) const
{
    return row * (time_axis ? steps : 1) * (batch_axis ? batch : 1);
}

static TensorFacts read_tensor(const Json &entry, const char *name_key, const std::string &role)
{
    const auto vocabulary_size = entry.value("vocabulary", std::size_t{0});
    TensorFacts facts{entry.at(name_key), Datatype::fp32, {}, {}, {}, 1, vocabulary_size, role};
    if (entry.at("dtype") == "int64") facts.datatype = Datatype::int64;
    if (entry.at("dtype") == "bool") facts.datatype = Datatype::boolean;
    for (const Json &size : entry.at("shape")) {
        if (size == "time") facts.time_axis = facts.shape.size();
        if (size == "batch") facts.batch_axis = facts.shape.size();
        facts.shape.push_back(size.is_number() ? size.get<int64_t>() : -1);
        if (size.is_number()) facts.row *= size.get<std::size_t>();
    }
    return facts;
}

// A leaf of the state, where it goes in or where it comes out.
static TensorFacts read_leaf(const Json &entry, const char *name_key, const char *other_key)
{
    TensorFacts facts = read_tensor(entry, name_key, "state");
    facts.other_name = entry.at(other_key);
    return facts;
}

static bool is_same(const std::vector<TensorFacts> &tensors, const RecurrentTensor *in_c, std::size_t count)
{
    static const RecurrentType types[] = {RECURRENT_FLOAT, RECURRENT_INT64, RECURRENT_BOOL};
    if (tensors.size() != count) return false;
    return std::equal(tensors.begin(), tensors.end(), in_c, [](const TensorFacts &facts, const RecurrentTensor &tensor) {
        return facts.name == tensor.name && facts.row == tensor.size && facts.batch_axis &&
               types[static_cast<int>(facts.datatype)] == tensor.type && facts.vocabulary_size == tensor.vocabulary_size &&
               facts.time_axis.has_value() == tensor.every_step;
    });
}

// A manifest of other sizes would let requests write past the end of arrays.
static void check_sizes(const Model &model)
{
    std::size_t state_size = 0;
    for (const TensorFacts &leaf : model.state_in) state_size += leaf.row * leaf.width_in_c() / sizeof(float);
    const RecurrentModel &net = *model.net;
    if (is_same(model.inputs, net.inputs, net.input_count) && is_same(model.outputs, net.outputs, net.output_count) &&
        state_size == net.state_size)
        return;
    throw std::runtime_error(text(model.name,
                                  ": expected the sizes that models.c has, got others in manifest.json; "
                                  "scaffold again and rebuild"));
}

static Model load_model(const RecurrentModel &net, const std::filesystem::path &manifest)
{
    std::ifstream file(manifest);
    if (!file) throw std::runtime_error(text("expected the bundle's manifest ", manifest, ", got no such file"));
    const Json json = Json::parse(file);
    if (json.at("format_version") != format_version)
        throw std::runtime_error(text(manifest, ": expected manifest format ", format_version, ", got ",
                                      json.at("format_version").dump(), "; export and scaffold with one rnn-export"));
    const Json &signature = json.at("signature");
    if (!signature.at("streamable").get<bool>() || signature.at("lengths").get<bool>())
        throw std::runtime_error(
            text(manifest, ": expected a streamable model without lengths, got another; export it so"));
    Model model{&net, net.name, json.at("files").at("model.c").at("sha256"), {}, {}, {}, {}};
    for (const Json &input : signature.at("inputs"))
        model.inputs.push_back(read_tensor(input, "name", input.at("role")));
    for (const Json &output : signature.at("outputs"))
        model.outputs.push_back(read_tensor(output, "name", "output"));
    for (const Json &leaf : signature.at("state")) {
        model.state_in.push_back(read_leaf(leaf, "name", "output_name"));
        if (leaf.at("initial").is_primitive()) model.state_in.back().initial = leaf.at("initial").dump();
        model.state_out.push_back(read_leaf(leaf, "output_name", "name"));
    }
    check_sizes(model);
    return model;
}

std::vector<Model> load_models(const std::filesystem::path &folder)
{
    std::vector<Model> models;
    for (const RecurrentModel *net = recurrent_models; net->name; net++) {
        const auto manifest = folder / net->name / "manifest.json";
        try {
            models.push_back(load_model(*net, manifest));
        } catch (const Json::exception &error) {
            throw std::runtime_error(text("expected a manifest in ", manifest, ", got: ", error.what()));
        }
    }
    return models;
}
