#include "model.hpp"

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

static TensorFacts read_tensor(const Json &entry, const char *name_key)
{
    TensorFacts facts{entry.at(name_key), Datatype::fp32, {}, {}, {}, 1};
    if (entry.at("dtype") == "int64") facts.datatype = Datatype::int64;
    for (const Json &size : entry.at("shape")) {
        if (size == "time") facts.time_axis = facts.shape.size();
        if (size == "batch") facts.batch_axis = facts.shape.size();
        facts.shape.push_back(size.is_number() ? size.get<int64_t>() : -1);
        if (size.is_number()) facts.row *= size.get<std::size_t>();
    }
    return facts;
}

// A manifest of other sizes would let requests write past the end of arrays.
static void check_sizes(const Model &model)
{
    std::size_t state_size = 0;
    for (const TensorFacts &leaf : model.state_in) state_size += leaf.row * leaf.width() / sizeof(float);
    const RecurrentModel &net = *model.net;
    const RecurrentTensor &inputs = net.inputs[0], &outputs = net.outputs[0];
    bool same = model.inputs.row == inputs.size && model.outputs.row == outputs.size && state_size == net.state_size &&
                (model.inputs.datatype == Datatype::int64) == (inputs.type == RECURRENT_INT64) &&
                model.vocabulary_size == inputs.vocabulary_size && model.outputs.datatype == Datatype::fp32 &&
                model.outputs.time_axis.has_value() == outputs.every_step;
    if (!same)
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
    const Json &signature = json.at("signature"), &inputs = signature.at("inputs"), &outputs = signature.at("outputs");
    if (inputs.size() != 1 || outputs.size() != 1)
        throw std::runtime_error(text(manifest, ": expected one tensor of inputs and one of outputs, got ",
                                      inputs.size(), " and ", outputs.size(), "; call its files as report.html shows"));
    Model model{&net,
                net.name,
                json.at("files").at("model.c").at("sha256"),
                read_tensor(inputs.at(0), "name"),
                read_tensor(outputs.at(0), "name"),
                {},
                {},
                0};
    for (const Json &leaf : signature.at("state")) {
        model.state_in.push_back(read_tensor(leaf, "name"));
        model.state_out.push_back(read_tensor(leaf, "output_name"));
    }
    model.vocabulary_size = inputs.at(0).value("vocabulary", std::size_t{0});
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
