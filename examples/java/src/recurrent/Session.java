package recurrent;

import java.util.Map;

/** A sequence of time steps for some rows, and the state in between. It belongs to one thread at a time. */
public final class Session {
    private final Model model;
    private final int batch;
    private float[] state;

    /**
     * Begins in the initial state.
     *
     * @throws IllegalArgumentException there are no rows.
     */
    public Session(Model model, int batch) {
        this.model = model;
        this.batch = batch;
        state = model.initialState(batch);
    }

    /**
     * Takes one time step, of a model that takes numbers. After an exception the state is as before.
     *
     * @param inputs float32 [batch, size].
     * @return outputs, float32 [batch, size].
     * @throws IllegalArgumentException the inputs have another size, or the model takes token ids.
     */
    public float[] step(float[] inputs) {
        return keep(model.run(inputs, 1, batch, state));
    }

    /**
     * Takes one time step, of a model that takes token ids. After an exception the state is as before.
     *
     * @param inputs int64 [batch, size].
     * @return outputs, float32 [batch, size].
     * @throws IllegalArgumentException the inputs have another size, an id is not in the vocabulary, or the model takes
     *     float32.
     */
    public float[] step(long[] inputs) {
        return keep(model.run(inputs, 1, batch, state));
    }

    /**
     * Takes one time step, of any model. After an exception the state is as before.
     *
     * @param inputs arrays by name; what is the same for a whole call goes into every step.
     * @return outputs by name.
     * @throws IllegalArgumentException as {@link Model#run(Map, int, int, float[])} does.
     */
    public Map<String, Object> step(Map<String, Object> inputs) {
        Model.Results results = model.run(inputs, 1, batch, state);
        state = results.state;
        return results.outputs;
    }

    private float[] keep(Model.Result result) {
        state = result.state;
        return result.outputs;
    }

    /** Goes on from the initial state. */
    public void reset() {
        state = model.initialState(batch);
    }

    /**
     * Goes on from a state, which is copied.
     *
     * @throws IllegalArgumentException it is not of {@code batch * stateSize} floats.
     */
    public void reset(float[] state) {
        this.state = model.checkState(state, batch).clone();
    }

    /** Gives a copy of the state, {@code batch * stateSize} floats. */
    public float[] state() {
        return state.clone();
    }
}
