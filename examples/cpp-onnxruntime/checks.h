/* Numbers of the sizes that a manifest asks for: made, checked and copied; for recurrent.cpp alone. */
#pragma once

#include "recurrent.h"

namespace recurrent {

/** Inputs in the manifest's order. */
using Given = std::vector<const Numbers *>;

Numbers zeros(const Tensor &tensor, const Sizes &sizes);
State zeros(const std::vector<Leaf> &leaves, std::size_t batch);
Tensors zeros_by_name(const std::vector<Tensor> &tensors, const Sizes &sizes);

State initial_state(const Signature &signature, std::size_t batch);

/** Put inputs in order. Throws Error if one is missing, or there is no such name. */
Given in_order(const Signature &signature, const Tensors &inputs);

/** The same of a model's only tensor. Throws Error unless it takes one, and gives one, of floats. */
Given in_order(const Signature &signature, const Numbers &inputs);

/** The sizes of a call: those that are neither time nor batch follow from how many numbers there are. */
Sizes sizes_of(const Signature &signature, const Given &inputs, std::size_t steps, std::size_t batch);

/** Throw Error unless these are the numbers of a tensor, or of a state, or there is something to run. */
void expect(const Tensor &tensor, const Numbers &numbers, const Sizes &sizes);
void expect(const Signature &signature, const State &state, std::size_t batch);
void expect_inputs(const Signature &signature, const Given &inputs, const Sizes &sizes);
void expect_some(std::size_t steps, std::size_t batch);

/** Copy into numbers of the same type and size, which stay where they are: a runtime may point to them. */
void copy(const Numbers &from, Numbers &to);
void copy(const State &from, State &to);

} // namespace recurrent
