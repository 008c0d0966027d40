package recurrent;

import java.io.IOException;
import java.lang.reflect.Array;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;

/** What is wrong is said and harms nothing; rows, and threads, are independent. Silent if all is well. */
final class Errors {
    private final Model model;

    private Errors(Model model) {
        this.model = model;
    }

    static void run(String[] names) throws IOException {
        for (String name : names) {
            Errors errors = new Errors(Main.load(name));
            errors.checkSizes();
            errors.checkTokens();
            errors.checkSession();
            errors.checkBatch();
            errors.checkThreads();
        }
        checkFiles();
    }

    private interface Attempt {
        void run() throws IOException;
    }

    /** Expects an exception with some words in what it says. */
    private static void expectError(String words, Attempt attempt) {
        try {
            attempt.run();
        } catch (IOException | IllegalArgumentException error) {
            expect(error.getMessage().contains(words), "\"" + words + "\" in: " + error.getMessage());
            return;
        }
        expect(false, "an error: " + words);
    }

    private static void expect(boolean holds, String what) {
        if (!holds) throw new IllegalStateException("expected " + what);
    }

    /** Gives some numbers of the right kind, good as token ids, too. */
    private static Object some(Spec spec, int length) {
        Object values = spec.zeros(length);
        if (values instanceof float[]) Arrays.fill((float[]) values, 0.5F);
        if (values instanceof long[]) Arrays.fill((long[]) values, 1);
        return values;
    }

    private Map<String, Object> some(int steps, int batch) {
        Map<String, Object> inputs = new LinkedHashMap<>();
        for (Spec spec : model.inputs()) inputs.put(spec.name(), some(spec, spec.count(steps, batch)));
        return inputs;
    }

    /** Gives the same, but for one array. */
    private static Map<String, Object> with(Map<String, Object> inputs, Spec spec, Object values) {
        inputs.put(spec.name(), values);
        return inputs;
    }

    private Map<String, Object> step(Session session, int rows) {
        return session.step(some(1, rows));
    }

    private static boolean same(Map<String, Object> one, Map<String, Object> other) {
        return one.keySet().equals(other.keySet())
                && one.keySet().stream().allMatch(name -> Objects.deepEquals(one.get(name), other.get(name)));
    }

    private void checkSizes() {
        Map<String, Object> inputs = some(3, 2);
        expectError(": expected", () -> model.run(inputs, 4, 2, null));
        expectError("at least one time step", () -> model.run(inputs, 0, 2, null));
        expectError("at least one time step", () -> model.run(inputs, -3, -2, null));
        expectError("less than 2^31", () -> model.run(inputs, 1 << 16, 1 << 16, null));
        expectError("state: expected", () -> model.run(inputs, 3, 2, new float[2 * model.stateSize() + 1]));
        for (Spec spec : model.inputs()) {
            String words = spec.name() + ": expected";
            Object less = some(spec, spec.count(3, 2) - 1);
            expectError(words, () -> model.run(with(some(3, 2), spec, less), 3, 2, null));
            expectError(words, () -> model.run(with(some(3, 2), spec, new int[spec.count(3, 2)]), 3, 2, null));
            expectError(words, () -> model.run(with(some(3, 2), spec, null), 3, 2, null));
        }
        Map<String, Object> more = some(3, 2);
        more.put("another", new float[6]);
        expectError("inputs: expected", () -> model.run(more, 3, 2, null));
        Map<String, Object> outputs = model.run(inputs, 3, 2, null).outputs;
        for (Spec spec : model.outputs())
            expect(Array.getLength(outputs.get(spec.name())) == spec.count(3, 2), "all numbers of " + spec.name());
        checkPlain(outputs);
    }

    /** A call without names is the same as one with them, or refused where there are several tensors. */
    private void checkPlain(Map<String, Object> outputs) {
        Object first = some(3, 2).get(model.inputs().get(0).name());
        Attempt attempt = () -> {
            Model.Result result =
                    first instanceof long[] ? model.run((long[]) first, 3, 2, null) : model.run((float[]) first, 3, 2, null);
            Object named = outputs.get(model.outputs().get(0).name());
            expect(Objects.deepEquals(named, result.outputs), "the same outputs without a name");
        };
        if (!model.isPlain()) {
            expectError("expected one tensor of inputs", attempt);
            return;
        }
        try {
            attempt.run();
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private void checkTokens() {
        for (Spec spec : model.inputs()) if (spec.vocabularySize().isPresent()) checkTokens(spec);
    }

    private void checkTokens(Spec spec) {
        long end = spec.vocabularySize().getAsLong();
        Session session = new Session(model, 2);
        float[] before = session.state();
        for (long id : new long[] {-1, end, Long.MIN_VALUE, Long.MAX_VALUE}) {
            String words = spec.name() + "[1]: expected a token id from 0 to " + (end - 1) + ", got " + id;
            Map<String, Object> step = with(some(1, 2), spec, new long[] {0, id});
            expectError(words, () -> session.step(step));
            expectError(words, () -> model.run(step, 1, 2, null));
        }
        expect(Arrays.equals(before, session.state()), "the state as before, after an id that there is not");
        session.step(with(some(1, 2), spec, new long[] {0, end - 1}));
    }

    private void checkSession() {
        expectError("at least one", () -> new Session(model, 0));
        Session session = new Session(model, 2);
        Map<String, Object> first = step(session, 2);
        float[] state = session.state();
        Map<String, Object> second = step(session, 2);
        session.reset(state);
        expectError(": expected", () -> step(session, 1));
        expectError("state: expected", () -> session.reset(new float[model.stateSize()]));
        Arrays.fill(state, 7); // the session has a copy of its own
        Arrays.fill(session.state(), 7);
        expect(same(second, step(session, 2)), "the second step again, after a reset to the state before");
        session.reset();
        expect(same(first, step(session, 2)), "the first step again, after a reset");
    }

    /** A row gives the same bits in any batch. */
    private void checkBatch() {
        Map<String, Object> one = step(new Session(model, 1), 1);
        Map<String, Object> three = step(new Session(model, 3), 3);
        for (Spec spec : model.outputs())
            for (int at = 0; at < 3 * spec.size(); at++) {
                Object expected = Array.get(one.get(spec.name()), at % spec.size());
                Object got = Array.get(three.get(spec.name()), at);
                expect(expected.equals(got), "number " + at + " of " + spec.name() + " as its row is alone");
            }
    }

    /** Threads with a session each do not disturb one another. */
    private void checkThreads() {
        Map<String, Object> expected = steps(100);
        boolean equal = IntStream.range(0, 8).parallel().allMatch(i -> same(expected, steps(100)));
        expect(equal, "the same outputs in all threads");
    }

    private Map<String, Object> steps(int count) {
        Session session = new Session(model, 1);
        Map<String, Object> outputs = Map.of();
        for (int i = 0; i < count; i++) outputs = step(session, 1);
        return outputs;
    }

    private static void checkFiles() throws IOException {
        expectError("run build.sh", () -> Main.load("no such model"));
        Path folder = Files.createTempDirectory("recurrent-errors");
        Path manifest = folder.resolve("none.json");
        Path library = folder.resolve("libnone.so");
        Path header = folder.resolve("none.h");
        try {
            Files.writeString(manifest, "{\"signature\": ");
            expectError("got no " + library, () -> Model.load(folder, "none"));
            Files.writeString(library, "no such library");
            expectError("got no " + header, () -> Model.load(folder, "none"));
            Files.writeString(header, "#define NONE_STATE_SIZE 1");
            expectError("none.json: expected", () -> Model.load(folder, "none"));
            Files.writeString(manifest, "{\"signature\": {}}");
            expectError("expected manifest format 2, got null; export and scaffold", () -> Model.load(folder, "none"));
            Files.writeString(manifest, "{\"format_version\": 2, \"signature\": {}}");
            expectError("none.json: expected", () -> Model.load(folder, "none"));
        } finally {
            for (Path file : new Path[] {manifest, library, header, folder}) Files.deleteIfExists(file);
        }
    }
}
