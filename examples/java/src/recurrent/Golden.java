package recurrent;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.reflect.Array;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** Runs a bundle's golden vectors, whole and step by step, and compares with eager PyTorch's results. */
final class Golden {
    private static final int ROUNDS = 11;
    private static final int STEPS = 1000;

    private final Model model;
    private final JsonObject signature;
    private final JsonArray cases;
    private final byte[] tensors;
    private final PrintStream err;
    private double worst; // the largest error
    private double share; // the largest part of what is allowed
    private boolean failed;

    private Golden(Path folder, PrintStream err) throws IOException {
        model = Main.load(folder.toRealPath().getFileName().toString());
        signature = json(folder.resolve("manifest.json")).getAsJsonObject("signature");
        cases = json(folder.resolve("golden/index.json")).getAsJsonArray("cases");
        tensors = Files.readAllBytes(folder.resolve("golden/tensors.bin"));
        this.err = err;
    }

    private static JsonObject json(Path file) throws IOException {
        if (!Files.isRegularFile(file)) throw new IOException(file + ": expected a bundle's file, got none");
        return JsonParser.parseString(Files.readString(file)).getAsJsonObject();
    }

    /** Checks the bundles in some folders, a line each; tells whether all passed. */
    static boolean run(String[] folders, PrintStream out, PrintStream err) throws IOException {
        boolean passed = true;
        for (String folder : folders) {
            try {
                passed &= new Golden(Path.of(folder), err).check(out);
            } catch (RuntimeException error) { // JSON's, and those of wrong sizes, are of several classes
                String expected = ": expected golden vectors of the model that was built, got ";
                throw new IOException(folder + expected + error, error);
            }
        }
        return passed;
    }

    private boolean check(PrintStream out) {
        int streamed = 0;
        for (JsonElement element : cases) {
            JsonObject one = element.getAsJsonObject();
            runWhole(one);
            if (!one.get("kind").getAsString().equals("run")) continue;
            runStreamed(one);
            streamed++;
        }
        if (cases.size() == 0) err.println(model.name() + ": no golden vectors");
        if (cases.size() == 0 || failed) return false;
        out.printf(
                Locale.ROOT,
                "%s: %d vectors whole, %d streamed, worst error %.1e (%.0f%% of allowed), %.2f us per step%n",
                model.name(), cases.size(), streamed, worst, 100 * share, timeStep());
        return true;
    }

    private void runWhole(JsonObject one) {
        int batch = one.get("batch").getAsInt();
        Map<String, Object> inputs = new LinkedHashMap<>();
        for (JsonElement spec : signature.getAsJsonArray("inputs"))
            inputs.put(nameOf(spec), tensor(one, "call", spec.getAsJsonObject(), "name").values());
        Model.Results results = model.run(inputs, one.get("time").getAsInt(), batch, state(one, batch));
        compare(one, "whole", results.outputs, results.state);
    }

    private void runStreamed(JsonObject one) {
        int batch = one.get("batch").getAsInt();
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        for (JsonElement spec : signature.getAsJsonArray("inputs"))
            inputs.put(nameOf(spec), tensor(one, "call", spec.getAsJsonObject(), "name"));
        Map<String, Tensor> likes = new LinkedHashMap<>();
        Map<String, Object> all = new LinkedHashMap<>();
        for (JsonElement spec : signature.getAsJsonArray("outputs")) {
            Tensor like = tensor(one, "float32", spec.getAsJsonObject(), "name");
            likes.put(nameOf(spec), like);
            all.put(nameOf(spec), Array.newInstance(like.values().getClass().getComponentType(), like.count()));
        }
        Session session = new Session(model, batch);
        session.reset(state(one, batch));
        for (int step = 0; step < one.get("time").getAsInt(); step++) {
            Map<String, Object> now = new LinkedHashMap<>();
            for (Map.Entry<String, Tensor> input : inputs.entrySet())
                now.put(input.getKey(), input.getValue().step(Math.min(step, input.getValue().time - 1)).values());
            Map<String, Object> outputs = session.step(now);
            for (String name : all.keySet()) place(outputs.get(name), likes.get(name), step, all.get(name));
        }
        compare(one, "streamed", all, session.state());
    }

    private static String nameOf(JsonElement spec) {
        return spec.getAsJsonObject().get("name").getAsString();
    }

    /** Puts one time step of a result, in pieces if time is not the first axis, to its place; the last one stays. */
    private static void place(Object from, Tensor like, int step, Object to) {
        for (int i = 0; i < like.outer; i++) {
            int at = (i * like.time + Math.min(step, like.time - 1)) * like.inner;
            System.arraycopy(from, i * like.inner, to, at, like.inner);
        }
    }

    private Tensor tensor(JsonObject one, String part, JsonObject spec, String member) {
        JsonObject entry = one.getAsJsonObject(part).getAsJsonObject(spec.get(member).getAsString());
        return Tensor.read(entry, spec.getAsJsonArray("shape"), tensors);
    }

    /** Puts the leaves of a case's state one after another, as the model takes them. */
    private float[] state(JsonObject one, int batch) {
        float[] state = new float[batch * model.stateSize()];
        int at = 0;
        for (JsonElement leaf : signature.getAsJsonArray("state")) {
            float[] floats = tensor(one, "call", leaf.getAsJsonObject(), "name").floats();
            System.arraycopy(floats, 0, state, at, floats.length);
            at += floats.length;
        }
        return state;
    }

    private void compare(JsonObject one, String how, Map<String, Object> outputs, float[] state) {
        Tensor expected;
        for (JsonElement spec : signature.getAsJsonArray("outputs")) {
            expected = tensor(one, "float64", spec.getAsJsonObject(), "name");
            compare(one, how, nameOf(spec), expected, Tensor.of(outputs.get(nameOf(spec))));
        }
        int at = 0;
        for (JsonElement element : signature.getAsJsonArray("state")) {
            JsonObject leaf = element.getAsJsonObject();
            expected = tensor(one, "float64", leaf, "output_name");
            Tensor got = Tensor.of(leaf.get("dtype").getAsString(), state, at, expected.count());
            compare(one, how, leaf.get("output_name").getAsString(), expected, got);
            at += got.floats().length;
        }
    }

    private void compare(JsonObject one, String how, String name, Tensor expected, Tensor got) {
        double allowed = one.getAsJsonObject("tolerance").get(name).getAsDouble();
        JsonObject undecided = one.getAsJsonObject("undecided"); // where rounding may turn a whole number into another
        boolean[] open = undecided == null || !undecided.has(name)
                ? new boolean[expected.count()]
                : (boolean[]) Tensor.read(undecided.getAsJsonObject(name), new JsonArray(), tensors).values();
        int every = Tensor.every(one.getAsJsonObject("float64").getAsJsonObject(name));
        for (int i = 0; i < expected.count(); i += every) {
            boolean same = open[i] || got.get(i) == expected.get(i); // of an infinity as well
            double error = same ? 0 : Math.abs(got.get(i) - expected.get(i));
            worst = Math.max(worst, error);
            if (error > share * allowed) share = error / allowed;
            if (error <= allowed) continue; // not so for NaN
            if (!failed)
                err.printf(
                        Locale.ROOT,
                        "%s: %s %s: %s[%d]: expected %.9g, got %.9g, off by %.1e, allowed %.1e%n",
                        model.name(), one.get("name").getAsString(), how, name, i,
                        expected.get(i), got.get(i), error, allowed);
            failed = true;
        }
    }

    /** Measures the microseconds of a step of one row: the median of some rounds, after a second to warm up at most. */
    private double timeStep() {
        Session session = new Session(model, 1);
        int steps = 0;
        for (long end = System.nanoTime() + 1_000_000_000L; steps < 20 * STEPS && System.nanoTime() < end; steps++)
            timeSteps(session, 1);
        double[] rounds = new double[ROUNDS];
        for (int i = 0; i < ROUNDS; i++) rounds[i] = timeSteps(session, Math.min(STEPS, steps));
        Arrays.sort(rounds);
        return rounds[ROUNDS / 2];
    }

    private double timeSteps(Session session, int steps) {
        Map<String, Object> inputs = new LinkedHashMap<>();
        for (Spec spec : model.inputs()) inputs.put(spec.name(), spec.zeros(spec.size()));
        Object one = inputs.get(model.inputs().get(0).name());
        long start = System.nanoTime();
        for (int i = 0; i < steps; i++)
            if (!model.isPlain()) session.step(inputs);
            else if (one instanceof long[]) session.step((long[]) one);
            else session.step((float[]) one);
        return (System.nanoTime() - start) / 1e3 / steps;
    }
}
