/* Numbers of the sizes that a manifest asks for: made, checked and copied; for recurrent.cpp alone. */
#pragma once

#include "recurrent.h"

namespace recurrent {

Numbers zeros(const Tensor &tensor, std::size_t steps, std::size_t batch);
State zeros(const std::vector<Leaf> &leaves, std::size_t batch);

State initial_state(const Signature &signature, std::size_t batch);

/** Throw Error unless these are the numbers of a tensor, or of a state, or there is something to run. */
void expect(const Tensor &tensor, const Numbers &numbers, std::size_t steps, std::size_t batch);
void expect(const Signature &signature, const State &state, std::size_t batch);
void expect_inputs(const Signature &signature, const Numbers &inputs, std::size_t steps, std::size_t batch);
void expect_some(std::size_t steps, std::size_t batch);

/** Copy into numbers of the same type and size, which stay where they are: a runtime may point to them. */
void copy(const Numbers &from, Numbers &to);
void copy(const State &from, State &to);

} // namespace recurrent
