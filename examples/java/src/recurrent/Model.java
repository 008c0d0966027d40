package recurrent;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * A recurrent net from a bundle's model.c. It does not change: any number of threads may call it at a time.
 *
 * <p>Inputs are token ids ({@code long[]}) or numbers ({@code float[]}), as {@link #tokenIds} tells. All arrays are
 * dense, row-major, their axes in the order of the bundle's manifest; {@code [time, batch, size]} below.
 */
public final class Model {
    private static final String FORMAT_VERSION = "2"; // of the manifest

    /** What a call gives. */
    public static final class Result {
        /** float32 [time, batch, outputSize]; [batch, outputSize] if there are those of the last step alone. */
        public final float[] outputs;

        /** The state after the last time step, as {@link Model#run(float[], int, int, float[])} takes it. */
        public final float[] state;

        private Result(float[] outputs, float[] state) {
            this.outputs = outputs;
            this.state = state;
        }
    }

    private final String name;
    private final boolean tokenIds;
    private final boolean everyStep;
    private final int inputSize;
    private final int outputSize;
    private final int stateSize;
    private final long vocabularySize; // 0: not known, or no ids
    private final String vocabulary;
    private final Function run;
    private final Function initialState;

    private Model(String name, JsonObject manifest, NativeLibrary library) {
        JsonObject signature = manifest.getAsJsonObject("signature");
        JsonObject inputs = only(signature, "inputs");
        JsonObject outputs = only(signature, "outputs");
        JsonElement text = manifest.getAsJsonObject("metadata").get("vocabulary");
        this.name = name;
        tokenIds = isInt64(inputs);
        everyStep = outputs.getAsJsonArray("shape").contains(new JsonPrimitive("time"));
        inputSize = units(inputs);
        outputSize = units(outputs);
        int size = 0;
        for (JsonElement leaf : signature.getAsJsonArray("state"))
            size += units(leaf.getAsJsonObject()) * (isInt64(leaf.getAsJsonObject()) ? 2 : 1);
        stateSize = size;
        JsonElement ids = inputs.get("vocabulary");
        vocabularySize = ids == null ? 0 : ids.getAsLong();
        vocabulary = text == null ? null : text.getAsString();
        run = library.getFunction(name + "_run");
        initialState = library.getFunction(name + "_initial_state");
    }

    /**
     * Loads the model of a name from a folder with libNAME.so and NAME.json, a bundle's model.c and manifest.
     *
     * @throws IOException a file is not there, or not what it should be.
     */
    public static Model load(Path folder, String name) throws IOException {
        Path manifest = folder.resolve(name + ".json");
        Path library = folder.resolve("lib" + name + ".so").toAbsolutePath();
        for (Path file : new Path[] {manifest, library})
            if (!Files.isRegularFile(file))
                throw new IOException(name + ": expected a model that was built, got no " + file + "; run ci.sh");
        try {
            Call.bind(folder);
            JsonObject json = JsonParser.parseString(Files.readString(manifest)).getAsJsonObject();
            checkManifest(manifest, json);
            return new Model(name, json, NativeLibrary.getInstance(library.toString()));
        } catch (RuntimeException | UnsatisfiedLinkError error) { // JSON's are of several classes
            String problem = ": expected a bundle's manifest and the library of its model.c; run ci.sh again: ";
            throw new IOException(manifest + problem + error.getMessage(), error);
        }
    }

    /** Refuses a manifest of another format, and one of a net that takes or gives several tensors. */
    private static void checkManifest(Path file, JsonObject manifest) throws IOException {
        String version = String.valueOf(manifest.get("format_version"));
        if (!version.equals(FORMAT_VERSION)) {
            String expected = file + ": expected manifest format " + FORMAT_VERSION + ", got " + version;
            throw new IOException(expected + "; export and scaffold with one rnn-export");
        }
        JsonObject signature = manifest.getAsJsonObject("signature");
        int inputs = signature.getAsJsonArray("inputs").size();
        int outputs = signature.getAsJsonArray("outputs").size();
        if (inputs != 1 || outputs != 1) {
            String expected = file + ": expected one tensor of inputs and one of outputs, got ";
            throw new IOException(expected + inputs + " and " + outputs + "; call its files as report.html shows");
        }
    }

    /** The only tensor of inputs, or of outputs. */
    static JsonObject only(JsonObject signature, String part) {
        return signature.getAsJsonArray(part).get(0).getAsJsonObject();
    }

    private static boolean isInt64(JsonObject tensor) {
        return tensor.get("dtype").getAsString().equals("int64");
    }

    /** The numbers of a tensor for each row and time step. */
    private static int units(JsonObject tensor) {
        int product = 1;
        for (JsonElement size : tensor.getAsJsonArray("shape"))
            if (size.getAsJsonPrimitive().isNumber()) product = Math.multiplyExact(product, size.getAsInt());
        return product;
    }

    /** The name of the bundle's folder. */
    public String name() {
        return name;
    }

    /** Whether inputs are int64 token ids, not float32. */
    public boolean tokenIds() {
        return tokenIds;
    }

    /** Whether there are outputs of every time step, not of the last one alone. */
    public boolean everyStep() {
        return everyStep;
    }

    /** Numbers for each row and time step. */
    public int inputSize() {
        return inputSize;
    }

    /** Numbers for each row and time step. */
    public int outputSize() {
        return outputSize;
    }

    /** Floats for each row; an int64 leaf of the state takes the bits of two. */
    public int stateSize() {
        return stateSize;
    }

    /** How many token ids there are, from 0 on; empty if that is not known, or if the inputs are none. */
    public OptionalLong vocabularySize() {
        return vocabularySize == 0 ? OptionalLong.empty() : OptionalLong.of(vocabularySize);
    }

    /** The character (code point) of each token id, of a text model. */
    public Optional<String> vocabulary() {
        return Optional.ofNullable(vocabulary);
    }

    /**
     * Gives the state that a sequence begins with: the leaves one after another, each float32 [batch, its size].
     *
     * @throws IllegalArgumentException there are no rows, or too many for an array.
     */
    public float[] initialState(int batch) {
        float[] state = new float[count("batch", 1, batch, stateSize)];
        Call.initialState(initialState, batch, state);
        return state;
    }

    /**
     * Runs some time steps of a batch; what is given is not changed.
     *
     * @param inputs float32 [steps, batch, inputSize].
     * @param steps time steps, at least one.
     * @param batch rows, at least one.
     * @param state {@code batch * stateSize} floats, as {@link #initialState} gives them; null: the initial state.
     * @throws IllegalArgumentException an array has another size, or the model takes token ids.
     */
    public Result run(float[] inputs, int steps, int batch, float[] state) {
        Result result = prepare("float32", inputs.length, steps, batch);
        float[] before = state == null ? initialState(batch) : checkState(state, batch);
        Call.run(run, steps, batch, inputs, before, result.outputs, result.state);
        return result;
    }

    /**
     * Runs some time steps of a batch, of a model that takes token ids.
     *
     * @param inputs int64 [steps, batch, inputSize].
     * @param steps time steps, at least one.
     * @param batch rows, at least one.
     * @param state {@code batch * stateSize} floats, as {@link #initialState} gives them; null: the initial state.
     * @throws IllegalArgumentException an array has another size, an id is not in the vocabulary, or the model takes
     *     float32.
     */
    public Result run(long[] inputs, int steps, int batch, float[] state) {
        Result result = prepare("int64", inputs.length, steps, batch);
        checkTokens(inputs);
        float[] before = state == null ? initialState(batch) : checkState(state, batch);
        Call.run(run, steps, batch, inputs, before, result.outputs, result.state);
        return result;
    }

    /** Checks a state's size, and gives the state. */
    float[] checkState(float[] state, int batch) {
        int expected = count("state", 1, batch, stateSize);
        if (state.length != expected) throw wrong("state", expected + " floats for " + batch + " rows", state.length);
        return state;
    }

    /** Checks that token ids are in the vocabulary, if that is known. */
    private void checkTokens(long[] tokens) {
        if (vocabularySize == 0) return;
        for (int i = 0; i < tokens.length; i++)
            if (tokens[i] < 0 || tokens[i] >= vocabularySize)
                throw wrong("inputs[" + i + "]", "a token id from 0 to " + (vocabularySize - 1), tokens[i]);
    }

    /** Checks the size of a call's inputs, and makes room for its result. */
    private Result prepare(String dtype, int length, int steps, int batch) {
        String taken = tokenIds ? "int64" : "float32";
        if (!dtype.equals(taken)) throw wrong("inputs", taken, dtype);
        int expected = count("inputs", steps, batch, inputSize);
        if (length != expected)
            throw wrong("inputs", expected + " numbers for " + steps + " steps of " + batch + " rows", length);
        int outputs = count("outputs", everyStep ? steps : 1, batch, outputSize);
        return new Result(new float[outputs], new float[count("state", 1, batch, stateSize)]);
    }

    /** Multiplies sizes, which may come from outside, without overflow. */
    private int count(String what, int steps, int batch, int size) {
        if (steps < 1 || batch < 1)
            throw wrong(what, "at least one time step and one row", steps + " steps of " + batch + " rows");
        try {
            return Math.multiplyExact(Math.multiplyExact(steps, batch), size);
        } catch (ArithmeticException error) {
            throw wrong(what, "less than 2^31 numbers", steps + " steps of " + batch + " rows of " + size);
        }
    }

    private IllegalArgumentException wrong(String what, String expected, Object got) {
        return new IllegalArgumentException(name + ": " + what + ": expected " + expected + ", got " + got);
    }
}
