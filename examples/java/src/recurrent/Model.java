package recurrent;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.sun.jna.Function;
import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A recurrent net from a bundle's model.c. It does not change: any number of threads may call it at a time.
 *
 * <p>Inputs are token ids ({@code long[]}) or numbers ({@code float[]}); a model of several takes a map of arrays by
 * name, {@code boolean[]} among them, and so do its outputs come. All arrays are dense, row-major, their axes in the
 * order of the bundle's manifest; {@code [time, batch, size]} below.
 */
public final class Model {
    private static final String FORMAT_VERSION = "2"; // of the manifest
    private static final Pattern WORKSPACE = Pattern.compile("#define \\w+_BATCH_WORKSPACE_SIZE (\\d+)"); // in model.h

    /** What a call gives. */
    public static final class Result {
        /** float32 [time, batch, size]; [batch, size] if there are those of the last step alone. */
        public final float[] outputs;

        /** The state after the last time step, as {@link Model#run(float[], int, int, float[])} takes it. */
        public final float[] state;

        private Result(float[] outputs, float[] state) {
            this.outputs = outputs;
            this.state = state;
        }
    }

    /** What a call of a model with several tensors gives. */
    public static final class Results {
        /** Arrays by the names of the outputs: {@code float[]}, {@code long[]} or {@code boolean[]}. */
        public final Map<String, Object> outputs;

        /** The state after the last time step. */
        public final float[] state;

        private Results(Map<String, Object> outputs, float[] state) {
            this.outputs = outputs;
            this.state = state;
        }
    }

    private final String name;
    private final List<Spec> inputs;
    private final List<Spec> outputs;
    private final int stateSize;
    private final String vocabulary;
    private final Function run;
    private final Function initialState;
    private final long workspaceSize; // floats for each row that a call takes, of a large model
    private final ThreadLocal<Memory> workspaces = new ThreadLocal<>();

    private Model(String name, JsonObject manifest, String header, NativeLibrary library) {
        JsonObject signature = manifest.getAsJsonObject("signature");
        JsonElement text = manifest.getAsJsonObject("metadata").get("vocabulary");
        this.name = name;
        inputs = specs(signature, "inputs");
        outputs = specs(signature, "outputs");
        stateSize = specs(signature, "state").stream().mapToInt(Spec::floats).sum();
        vocabulary = text == null ? null : text.getAsString();
        run = library.getFunction(name + "_run");
        initialState = library.getFunction(name + "_initial_state");
        Matcher size = WORKSPACE.matcher(header);
        workspaceSize = size.find() ? Long.parseLong(size.group(1)) : 0;
    }

    /**
     * Loads the model of a name from a folder with libNAME.so, NAME.h and NAME.json, of a bundle's model.c, model.h and
     * manifest.
     *
     * @throws IOException a file is not there, or not what it should be.
     */
    public static Model load(Path folder, String name) throws IOException {
        Path manifest = folder.resolve(name + ".json");
        Path library = folder.resolve("lib" + name + ".so").toAbsolutePath();
        Path header = folder.resolve(name + ".h");
        for (Path file : new Path[] {manifest, library, header})
            if (!Files.isRegularFile(file))
                throw new IOException(name + ": expected a model that was built, got no " + file + "; run build.sh");
        try {
            Call.bind(folder);
            JsonObject json = JsonParser.parseString(Files.readString(manifest)).getAsJsonObject();
            checkManifest(manifest, json);
            return new Model(name, json, Files.readString(header), NativeLibrary.getInstance(library.toString()));
        } catch (RuntimeException | UnsatisfiedLinkError error) { // JSON's are of several classes
            String problem = ": expected a bundle's manifest and the library of its model.c; run build.sh again: ";
            throw new IOException(manifest + problem + error.getMessage(), error);
        }
    }

    /** Refuses a manifest of another format. */
    private static void checkManifest(Path file, JsonObject manifest) throws IOException {
        String version = String.valueOf(manifest.get("format_version"));
        if (!version.equals(FORMAT_VERSION)) {
            String expected = file + ": expected manifest format " + FORMAT_VERSION + ", got " + version;
            throw new IOException(expected + "; export and scaffold with one rnn-export");
        }
    }

    private static List<Spec> specs(JsonObject signature, String part) {
        List<Spec> specs = new ArrayList<>();
        for (JsonElement tensor : signature.getAsJsonArray(part)) specs.add(new Spec(tensor.getAsJsonObject()));
        return List.copyOf(specs);
    }

    /** The name of the bundle's folder. */
    public String name() {
        return name;
    }

    /** What goes in beside the state, in the manifest's order. */
    public List<Spec> inputs() {
        return inputs;
    }

    /** What comes out beside it. */
    public List<Spec> outputs() {
        return outputs;
    }

    /** Whether it takes one tensor and gives one, of float32: then arrays need no names. */
    public boolean isPlain() {
        boolean one = inputs.size() == 1 && outputs.size() == 1;
        return one && inputs.get(0).kind() != Spec.Kind.BOOL && outputs.get(0).kind() == Spec.Kind.FLOAT32;
    }

    /** Floats for each row; an int64 leaf of the state takes the bits of two, true has all bits set. */
    public int stateSize() {
        return stateSize;
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
        float[] state = new float[Spec.count("batch", 1, batch, stateSize)];
        Call.initialState(initialState, batch, state);
        return state;
    }

    /**
     * Runs some time steps of a batch; what is given is not changed.
     *
     * @param inputs float32 [steps, batch, size].
     * @param steps time steps, at least one.
     * @param batch rows, at least one.
     * @param state {@code batch * stateSize} floats, as {@link #initialState} gives them; null: the initial state.
     * @throws IllegalArgumentException an array has another size, or the model takes token ids or several tensors.
     */
    public Result run(float[] inputs, int steps, int batch, float[] state) {
        Result result = prepare(inputs, steps, batch);
        float[] before = state == null ? initialState(batch) : checkState(state, batch);
        Call.run(run, steps, batch, inputs, before, result.outputs, result.state, workspace(batch));
        return result;
    }

    /**
     * Runs some time steps of a batch, of a model that takes token ids.
     *
     * @param inputs int64 [steps, batch, size].
     * @param steps time steps, at least one.
     * @param batch rows, at least one.
     * @param state {@code batch * stateSize} floats, as {@link #initialState} gives them; null: the initial state.
     * @throws IllegalArgumentException an array has another size, an id is not in the vocabulary, or the model takes
     *     float32 or several tensors.
     */
    public Result run(long[] inputs, int steps, int batch, float[] state) {
        Result result = prepare(inputs, steps, batch);
        float[] before = state == null ? initialState(batch) : checkState(state, batch);
        Call.run(run, steps, batch, inputs, before, result.outputs, result.state, workspace(batch));
        return result;
    }

    /**
     * Runs some time steps of a batch, of any model; what is the same for a whole call has no time axis.
     *
     * @param inputs arrays by the names of {@link #inputs}.
     * @param steps time steps, at least one.
     * @param batch rows, at least one.
     * @param state {@code batch * stateSize} floats, as {@link #initialState} gives them; null: the initial state.
     * @throws IllegalArgumentException an array is missing, or of another type or size, or an id is not in the
     *     vocabulary.
     */
    public Results run(Map<String, Object> inputs, int steps, int batch, float[] state) {
        List<Object> arrays = new ArrayList<>();
        for (Spec spec : this.inputs) {
            spec.check(inputs.get(spec.name()), steps, batch);
            arrays.add(inC(inputs.get(spec.name())));
        }
        if (inputs.size() != arrays.size()) throw wrong("inputs", arrays.size() + " arrays", inputs.size());
        float[] after = new float[Spec.count("state", 1, batch, stateSize)];
        arrays.add(state == null ? initialState(batch) : checkState(state, batch));
        List<Object> rooms = new ArrayList<>();
        for (Spec spec : outputs) rooms.add(inC(spec.zeros(spec.count(steps, batch))));
        arrays.addAll(rooms);
        arrays.add(after);
        Call.run(run, steps, batch, arrays, workspace(batch));
        Map<String, Object> results = new LinkedHashMap<>();
        for (int i = 0; i < rooms.size(); i++) results.put(outputs.get(i).name(), fromC(rooms.get(i)));
        return new Results(results, after);
    }

    /** Gives the calling thread's workspace for a number of rows; null if the model takes none. */
    private Memory workspace(int batch) {
        if (workspaceSize == 0) return null;
        long bytes = workspaceSize * batch * Float.BYTES;
        Memory memory = workspaces.get();
        if (memory == null || memory.size() < bytes) {
            memory = new Memory(bytes);
            workspaces.set(memory);
        }
        return memory;
    }

    /** Gives an array as C takes it: truth values are integers, a true one is -1. */
    private static Object inC(Object values) {
        if (!(values instanceof boolean[])) return values;
        boolean[] truths = (boolean[]) values;
        int[] integers = new int[truths.length];
        for (int i = 0; i < truths.length; i++) integers[i] = truths[i] ? -1 : 0;
        return integers;
    }

    private static Object fromC(Object values) {
        if (!(values instanceof int[])) return values;
        int[] integers = (int[]) values;
        boolean[] truths = new boolean[integers.length];
        for (int i = 0; i < truths.length; i++) truths[i] = integers[i] != 0;
        return truths;
    }

    /** Checks a state's size, and gives the state. */
    float[] checkState(float[] state, int batch) {
        int expected = Spec.count("state", 1, batch, stateSize);
        if (state.length != expected) throw wrong("state", expected + " floats for " + batch + " rows", state.length);
        return state;
    }

    /** Checks a call without names, and makes room for its result. */
    private Result prepare(Object values, int steps, int batch) {
        if (!isPlain()) {
            String got = inputs.size() + " and " + outputs.size();
            throw wrong("a call without names", "one tensor of inputs and one of float32 outputs", got);
        }
        inputs.get(0).check(values, steps, batch);
        int room = outputs.get(0).count(steps, batch);
        return new Result(new float[room], new float[Spec.count("state", 1, batch, stateSize)]);
    }

    private IllegalArgumentException wrong(String what, String expected, Object got) {
        return new IllegalArgumentException(name + ": " + what + ": expected " + expected + ", got " + got);
    }
}
