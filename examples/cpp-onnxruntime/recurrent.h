/* A recurrent net from a bundle: run whole sequences, or stream them step by step.
 *
 * Whatever is wrong is thrown as recurrent::Error and says what was expected, what came, and what to do. A Model may be
 * used by any number of threads at a time, a Session by one. Each call computes in the thread that makes it. */
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace recurrent {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/** The numbers of a tensor, row-major: float32; int64, such as token ids; truth values, 0 or 1. */
using Numbers = std::variant<std::vector<float>, std::vector<std::int64_t>, std::vector<std::uint8_t>>;

/** What holds such numbers, in the variant's order. */
enum class Type { float32, int64, boolean };

/** Several tensors by name. */
using Tensors = std::map<std::string, Numbers>;

/** The leaves of a state, in the manifest's order. */
using State = std::vector<Numbers>;

/** Stand in `Tensor::axes` for the sizes that a call is free to choose; numbers below for `Signature::free_sizes`. */
constexpr std::int64_t time_axis = -1, batch_axis = -2;

/** The sizes of a call: time steps, rows, and the other ones that are free. */
struct Sizes {
    std::size_t steps = 1, batch = 1;
    std::vector<std::size_t> others = {};
};

/** What manifest.json says of an input, of an output, or of a leaf of the state. */
struct Tensor {
    std::string name;
    Type type = Type::float32;
    std::vector<std::int64_t> axes; /* time_axis, batch_axis, ... in the model's own order; other axes: their size */
    bool flattened = false;         /* an output whose first two axes are one in the file; its numbers are the same */

    std::vector<std::int64_t> shape(const Sizes &sizes) const;

    /** How many numbers that is. Throws Error if memory could never hold them. */
    std::size_t count(const Sizes &sizes) const;
};

struct Input : Tensor {
    std::optional<std::int64_t> vocabulary_size; /* token ids are 0 to one less; none: not known, or no ids */
};

/** A leaf of the state: what it is called after a call, and what it begins with. */
struct Leaf : Tensor {
    std::string output_name;
    Numbers initial; /* of one row */
};

struct Signature {
    std::vector<Input> inputs; /* without time_axis: the same for a whole call */
    std::vector<Leaf> state;
    std::vector<Tensor> outputs;         /* without time_axis: of the last time step */
    std::vector<std::string> free_sizes; /* other than time and batch; an axis of number k is -3 - k */
};

/** What a call gives: outputs of all time steps, or of the last one alone, and the state after them. */
struct Result {
    std::vector<float> outputs;
    State state;
};

/** The same of any model. */
struct Results {
    Tensors outputs;
    State state;
};

/** A bundle's net, loaded. Copies share it. */
class Model {
public:
    /** Load manifest.json and the net of a bundle's folder. */
    explicit Model(const std::filesystem::path &bundle);

    /** Run some time steps of a batch from the initial state: inputs [time, batch, ...], axes in the model's order.
     * For a model of one tensor of inputs and one of outputs, which are floats. */
    Result run(const Numbers &inputs, std::size_t steps, std::size_t batch) const;

    /** The same from a state that an earlier call gave, leaf k as `signature().state[k].shape(sizes)`. */
    Result run(const Numbers &inputs, std::size_t steps, std::size_t batch, State state) const;

    /** The same of any model: inputs and outputs by name. */
    Results run(const Tensors &inputs, std::size_t steps, std::size_t batch) const;
    Results run(const Tensors &inputs, std::size_t steps, std::size_t batch, State state) const;

    State initial_state(std::size_t batch) const;
    const Signature &signature() const;
    const std::string &name() const;

    /** The character of each token id, as UTF-8; empty if this is not a text model. */
    const std::string &vocabulary() const;

private:
    friend class Session;
    struct Loaded;
    std::shared_ptr<const Loaded> loaded_;
};

/** A sequence of time steps for some rows, and the state in between. */
class Session {
public:
    /** Begin in the initial state. */
    explicit Session(const Model &model, std::size_t batch = 1);
    ~Session();
    Session(Session &&) noexcept;
    Session &operator=(Session &&) noexcept;

    /** Take one time step: inputs [batch, ...] to outputs [batch, ...], which stay valid until the next call.
     * After an Error the state is as before. */
    const std::vector<float> &step(const Numbers &inputs);

    /** The same of any model; what is the same for a whole call goes into every step. */
    const Tensors &step(const Tensors &inputs);

    /** Go back to the initial state, or to another one. */
    void reset();
    void reset(const State &state);

    /** The state after the last step; copy it to keep it. */
    const State &state() const;

private:
    struct Buffers;
    std::unique_ptr<Buffers> buffers_;
};

/** Which runtime computes, and its version, such as "ONNX Runtime 1.32.0". */
std::string runtime();

} // namespace recurrent
