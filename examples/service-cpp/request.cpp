#include "protocol.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <span>

#include "problem.hpp"

using Json = nlohmann::json;

static const std::size_t MAX_ID = 128; // bytes of a sequence_id: sessions are bounded memory

template <typename... Values>
[[noreturn]] static void refuse(const Values &...values)
{
    throw Problem(400, text(values...));
}

// Show a value of a request, but not all of a long one.
static std::string shown(const Json &json)
{
    if (json.is_structured()) return text("an ", json.type_name(), " of ", json.size());
    const std::string dumped = json.dump(-1, ' ', false, Json::error_handler_t::replace);
    return dumped.size() <= 80 ? dumped : dumped.substr(0, 80) + "...";
}

static const Json *member(const Json &object, const char *key)
{
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

static const Json &object_at(const Json &object, const char *key)
{
    static const Json empty = Json::object();
    const Json *value = member(object, key);
    if (!value) return empty;
    if (!value->is_object()) refuse("expected an object as ", key, ", got ", shown(*value));
    return *value;
}

static bool flag_at(const Json &object, const char *key, bool otherwise)
{
    const Json *value = member(object, key);
    if (!value) return otherwise;
    if (!value->is_boolean()) refuse("expected true or false as ", key, ", got ", shown(*value));
    return *value;
}

static const Json &array_at(const Json &object, const char *key, const std::string &where)
{
    const Json *value = member(object, key);
    if (!value || !value->is_array())
        refuse(where, ": expected a list as ", key, ", got ", value ? shown(*value) : "none");
    return *value;
}

static std::string name_of(const Json &tensor)
{
    const Json *name = tensor.is_object() ? member(tensor, "name") : nullptr;
    if (!name || !name->is_string()) refuse("expected an object with the name of a tensor, got ", shown(tensor));
    return *name;
}

// Give the elements behind a shape of a request. Each takes at least a byte of the body, so more is a lie.
static std::size_t check_shape(const TensorFacts &facts, const Json &shape, std::size_t body_size)
{
    std::size_t count = 1;
    bool fits = shape.size() == facts.shape.size();
    for (std::size_t axis = 0; fits && axis < shape.size(); axis++) {
        const bool sized = shape[axis].is_number_integer() && shape[axis] > 0;
        const auto size = sized ? shape[axis].get<uint64_t>() : 0;
        fits = sized && (facts.shape[axis] < 0 || shape[axis] == facts.shape[axis]) && count <= body_size / size;
        count *= fits ? size : 1;
    }
    if (!fits)
        refuse(facts.name, ": expected the shape ", Json(facts.shape).dump(),
               ", -1 for any size from 1 that the data has, got ", shape.size() <= 8 ? shape.dump() : shown(shape));
    return count;
}

// The binary data behind the JSON, taken from the front, tensor by tensor.
class BinaryData {
public:
    explicit BinaryData(std::string_view bytes) : rest_(bytes) {}

    std::string_view take(std::size_t size, const std::string &name)
    {
        if (size > rest_.size())
            refuse(name, ": expected ", size, " bytes of binary data behind the JSON, got ", rest_.size(),
                   "; check Inference-Header-Content-Length");
        const auto taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }

    void check_end() const
    {
        if (!rest_.empty()) refuse("expected no bytes behind the tensors' binary data, got ", rest_.size());
    }

private:
    std::string_view rest_;
};

// Read a number; truth values are int32_t, as C has them.
template <typename Number>
static Number read_number(const Json &json, const TensorFacts &facts, std::size_t at)
{
    if constexpr (std::is_same_v<Number, int32_t>) {
        if (!json.is_boolean()) refuse(facts.name, '[', at, "]: expected true or false, got ", shown(json));
        return json.get<bool>() ? RECURRENT_TRUE : 0;
    } else {
        const bool fits =
            std::is_floating_point_v<Number>
                ? json.is_number()
                : json.is_number_integer() && (!json.is_number_unsigned() || json.get<uint64_t>() <= INT64_MAX);
        if (!fits) refuse(facts.name, '[', at, "]: expected a number of ", facts.datatype_name(), ", got ", shown(json));
        return json.get<Number>();
    }
}

// Copy nested or flat lists of numbers, row-major. No deeper than the tensor: the nesting is the client's.
template <typename Number>
static void flatten(const Json &data, const TensorFacts &facts, std::size_t depth, std::span<Number> numbers,
                    std::size_t &at)
{
    for (const Json &entry : data) {
        if (entry.is_array() && depth > 1) {
            flatten(entry, facts, depth - 1, numbers, at);
            continue;
        }
        if (at == numbers.size()) refuse(facts.name, ": expected ", numbers.size(), " numbers, got more");
        numbers[at] = read_number<Number>(entry, facts, at);
        at++;
    }
}

template <typename Number>
static void read_list(const Json &data, const TensorFacts &facts, std::span<std::byte> bytes)
{
    const std::span numbers(reinterpret_cast<Number *>(bytes.data()), bytes.size() / sizeof(Number));
    std::size_t at = 0;
    flatten(data, facts, facts.shape.size(), numbers, at);
    if (at != numbers.size()) refuse(facts.name, ": expected ", numbers.size(), " numbers, got ", at);
}

static void check_numbers(const TensorFacts &facts, std::span<const std::byte> bytes)
{
    if (facts.datatype == Datatype::fp32) {
        const std::span numbers(reinterpret_cast<const float *>(bytes.data()), bytes.size() / sizeof(float));
        for (std::size_t i = 0; i < numbers.size(); i++)
            if (!std::isfinite(numbers[i])) refuse(facts.name, '[', i, "]: expected a finite number, got ", numbers[i]);
    } else if (facts.vocabulary_size) {
        const std::span tokens(reinterpret_cast<const int64_t *>(bytes.data()), bytes.size() / sizeof(int64_t));
        for (std::size_t i = 0; i < tokens.size(); i++)
            if (tokens[i] < 0 || static_cast<uint64_t>(tokens[i]) >= facts.vocabulary_size)
                refuse(facts.name, '[', i, "]: expected a token id from 0 to ", facts.vocabulary_size - 1, ", got ",
                       tokens[i]);
    }
}

// Copy a tensor's bytes as C takes them.
static void widen(const TensorFacts &facts, std::string_view from, std::span<std::byte> bytes)
{
    if (facts.datatype != Datatype::boolean) {
        std::memcpy(bytes.data(), from.data(), from.size());
        return;
    }
    for (std::size_t i = 0; i < from.size(); i++) {
        if (from[i] != 0 && from[i] != 1) refuse(facts.name, '[', i, "]: expected a byte of 0 or 1, got another");
        const int32_t value = from[i] ? RECURRENT_TRUE : 0;
        std::memcpy(bytes.data() + i * sizeof value, &value, sizeof value);
    }
}

static void read_data(const TensorFacts &facts, const Json &tensor, BinaryData &binary, std::span<std::byte> bytes)
{
    const Json *size = member(object_at(tensor, "parameters"), "binary_data_size");
    if (!size) {
        const Json &data = array_at(tensor, "data", facts.name);
        if (facts.datatype == Datatype::fp32) read_list<float>(data, facts, bytes);
        if (facts.datatype == Datatype::int64) read_list<int64_t>(data, facts, bytes);
        if (facts.datatype == Datatype::boolean) read_list<int32_t>(data, facts, bytes);
        return;
    }
    if (tensor.contains("data")) refuse(facts.name, ": expected data or binary_data_size, got both");
    const std::size_t expected = bytes.size() / facts.width_in_c() * facts.width();
    if (*size != expected)
        refuse(facts.name, ": expected a binary_data_size of ", expected, " for this shape, got ", shown(*size));
    widen(facts, binary.take(expected, facts.name), bytes);
}

// Take over what a tensor says of a size; those before have said the same, or nothing: 0.
static void agree(const TensorFacts &facts, const char *what, const Json &got, std::size_t &size)
{
    const auto other = got.get<std::size_t>();
    if (size && size != other) refuse(facts.name, ": expected ", size, ' ', what, " like the others, got ", other);
    size = other;
}

// Read a tensor's numbers, and its sizes of time and batch.
static void read_tensor(const TensorFacts &facts, const Json &tensor, std::size_t body_size, BinaryData &binary,
                        std::vector<std::byte> &bytes, InferRequest &request)
{
    const Json *datatype = member(tensor, "datatype");
    if (!datatype || *datatype != facts.datatype_name())
        refuse(facts.name, ": expected the datatype ", facts.datatype_name(), ", got ",
               datatype ? shown(*datatype) : "none");
    const Json &shape = array_at(tensor, "shape", facts.name);
    bytes.resize(check_shape(facts, shape, body_size) * facts.width_in_c());
    read_data(facts, tensor, binary, bytes);
    check_numbers(facts, bytes);
    if (facts.time_axis) agree(facts, "time steps", shape[*facts.time_axis], request.steps);
    if (facts.batch_axis) agree(facts, "rows", shape[*facts.batch_axis], request.batch);
}

static std::optional<Sequence> read_sequence(const Json &parameters)
{
    const Json *id = member(parameters, "sequence_id");
    Sequence sequence{"", flag_at(parameters, "sequence_start", false), flag_at(parameters, "sequence_end", false)};
    if (!id) {
        if (sequence.start || sequence.end)
            refuse("expected a sequence_id beside sequence_start or sequence_end, got none");
        return std::nullopt;
    }
    if (!id->is_string() && !id->is_number_integer()) refuse("expected a string as sequence_id, got ", shown(*id));
    sequence.id = id->is_string() ? id->get<std::string>() : id->dump();
    if (sequence.id.empty() || sequence.id.size() > MAX_ID)
        refuse("expected a sequence_id of 1 to ", MAX_ID, " bytes, got ", sequence.id.size());
    return sequence;
}

static std::vector<WantedOutput> all_outputs(const Model &model, bool binary)
{
    std::vector<WantedOutput> all;
    for (std::size_t at = 0; at < model.outputs.size(); at++) all.push_back({&model.outputs[at], at, 0, binary});
    std::size_t offset = 0;
    for (const TensorFacts &leaf : model.state_out) {
        all.push_back({&leaf, std::nullopt, offset, binary});
        offset += leaf.row * leaf.width_in_c() / sizeof(float);
    }
    return all;
}

static std::vector<WantedOutput> read_outputs(const Model &model, const Json &request, bool is_session)
{
    const bool binary = flag_at(object_at(request, "parameters"), "binary_data_output", false);
    auto all = all_outputs(model, binary);
    if (!request.contains("outputs") || request["outputs"].empty()) {
        if (is_session) all.resize(model.outputs.size()); // without the state
        return all;
    }
    std::vector<WantedOutput> wanted;
    for (const Json &entry : array_at(request, "outputs", "the request")) {
        const std::string name = name_of(entry);
        const auto named = [&](const WantedOutput &output) { return output.facts->name == name; };
        const auto found = std::find_if(all.begin(), all.end(), named);
        if (found == all.end() || std::any_of(wanted.begin(), wanted.end(), named))
            refuse("expected outputs of ", model.name, ", each once, got ", name, "; GET /v2/models/", model.name,
                   " lists them");
        wanted.push_back(*found);
        wanted.back().binary = flag_at(object_at(entry, "parameters"), "binary_data", binary);
    }
    return wanted;
}

static std::size_t json_size(std::string_view body, const std::optional<std::string> &header)
{
    if (!header) return body.size();
    std::size_t size = 0;
    const auto [end, error] = std::from_chars(header->data(), header->data() + header->size(), size);
    if (error != std::errc() || end != header->data() + header->size() || size > body.size())
        refuse("expected an Inference-Header-Content-Length of at most ", body.size(), ", got ", *header);
    return size;
}

static Json parse_json(std::string_view body)
{
    try {
        Json json = Json::parse(body);
        if (!json.is_object()) refuse("expected a JSON object, got ", json.type_name());
        return json;
    } catch (const Json::exception &error) {
        refuse("expected well-formed JSON, got: ", error.what());
    }
}

static const TensorFacts &facts_at(const Model &model, std::size_t at)
{
    return at < model.inputs.size() ? model.inputs[at] : model.state_in[at - model.inputs.size()];
}

// The inputs by name: all that the model takes, and all leaves of the state, or none.
static std::vector<const Json *> read_inputs(const Model &model, const Json &request)
{
    std::vector<const Json *> tensors(model.inputs.size() + model.state_in.size());
    for (const Json &entry : array_at(request, "inputs", "the request")) {
        const std::string name = name_of(entry);
        std::size_t at = 0;
        while (at < tensors.size() && facts_at(model, at).name != name) at++;
        if (at == tensors.size() || tensors[at])
            refuse("expected inputs of ", model.name, ", each once, got ", name, "; GET /v2/models/", model.name,
                   " lists them");
        tensors[at] = &entry;
    }
    for (std::size_t at = 0; at < model.inputs.size(); at++)
        if (!tensors[at]) refuse("expected the input ", model.inputs[at].name, ", got none");
    const auto state = tensors.begin() + static_cast<std::ptrdiff_t>(model.inputs.size());
    const auto missing = std::find(state, tensors.end(), nullptr);
    if (missing != tensors.end() && std::any_of(state, tensors.end(), [](const Json *tensor) { return tensor; }))
        refuse("expected all of the state or none, got none of ",
               model.state_in[static_cast<std::size_t>(missing - state)].name);
    return tensors;
}

// Read all tensors. Binary data lies in the order of the request, which need not be the model's.
static void read_tensors(const Model &model, const Json &inputs, const std::vector<const Json *> &tensors,
                         std::size_t body_size, BinaryData binary, InferRequest &request)
{
    std::vector<std::vector<std::byte>> bytes(tensors.size());
    for (const Json &entry : inputs) {
        const auto at = static_cast<std::size_t>(std::find(tensors.begin(), tensors.end(), &entry) - tensors.begin());
        read_tensor(facts_at(model, at), entry, body_size, binary, bytes[at], request);
    }
    binary.check_end();
    for (std::size_t at = model.inputs.size(); at < tensors.size(); at++) {
        const std::size_t begin = request.state.size();
        request.state.resize(begin + bytes[at].size() / sizeof(float));
        std::memcpy(request.state.data() + begin, bytes[at].data(), bytes[at].size());
    }
    bytes.resize(model.inputs.size());
    request.inputs = std::move(bytes);
}

// Check what only makes sense once all tensors are known.
static void check_call(const Model &model, const InferRequest &request, bool has_state, std::size_t max_answer)
{
    if (request.sequence && has_state) refuse("expected no state beside a sequence_id, as the session has it, got one");
    if (request.sequence && request.batch != 1) refuse("expected a batch of 1 in a session, got ", request.batch);
    std::size_t bytes = sizeof(float) * model.net->state_size * request.batch;
    for (const TensorFacts &output : model.outputs)
        bytes += output.width_in_c() * output.count(request.steps, request.batch);
    if (bytes > max_answer)
        refuse("expected outputs and state of at most ", max_answer, " bytes, got ", bytes,
               "; send fewer steps or rows a request");
}

InferRequest parse_infer(const Model &model, std::string_view body, const std::optional<std::string> &json_length,
                         std::size_t max_answer)
{
    const std::size_t size = json_size(body, json_length);
    const Json json = parse_json(body.substr(0, size));
    const auto tensors = read_inputs(model, json);
    InferRequest request{};
    if (const Json *id = member(json, "id")) {
        if (!id->is_string()) refuse("expected a string as id, got ", shown(*id));
        request.id = *id;
    }
    request.sequence = read_sequence(object_at(json, "parameters"));
    request.outputs = read_outputs(model, json, request.sequence.has_value());

    read_tensors(model, json["inputs"], tensors, body.size(), BinaryData(body.substr(size)), request);
    check_call(model, request, !request.state.empty(), max_answer);
    return request;
}
