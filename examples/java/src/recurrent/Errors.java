package recurrent;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
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

    /** Runs the model with some numbers of its type, good as token ids, too. */
    private Model.Result runSome(int length, int steps, int batch, float[] state) {
        if (!model.tokenIds()) return model.run(filled(length), steps, batch, state);
        long[] tokens = new long[length];
        Arrays.fill(tokens, 1);
        return model.run(tokens, steps, batch, state);
    }

    private static float[] filled(int length) {
        float[] numbers = new float[length];
        Arrays.fill(numbers, 0.5F);
        return numbers;
    }

    private float[] step(Session session, int rows) {
        int length = rows * model.inputSize();
        return model.tokenIds() ? session.step(new long[length]) : session.step(filled(length));
    }

    private void checkSizes() {
        int length = 6 * model.inputSize();
        expectError("inputs: expected", () -> runSome(length - 1, 3, 2, null));
        expectError("inputs: expected", () -> runSome(length, 4, 2, null));
        expectError("at least one time step", () -> runSome(0, 0, 2, null));
        expectError("at least one time step", () -> runSome(length, -3, -2, null));
        expectError("less than 2^31", () -> runSome(length, 1 << 16, 1 << 16, null));
        expectError("state: expected", () -> runSome(length, 3, 2, new float[2 * model.stateSize() + 1]));
        expectError("inputs: expected " + (model.tokenIds() ? "int64" : "float32"), () -> {
            if (model.tokenIds()) model.run(filled(length), 3, 2, null);
            else model.run(new long[length], 3, 2, null);
        });
        int outputs = (model.everyStep() ? 6 : 2) * model.outputSize();
        expect(runSome(length, 3, 2, null).outputs.length == outputs, outputs + " outputs");
    }

    private void checkTokens() {
        if (model.vocabularySize().isEmpty()) return;
        long end = model.vocabularySize().getAsLong();
        Session session = new Session(model, 2);
        float[] before = session.state();
        for (long id : new long[] {-1, end, Long.MIN_VALUE, Long.MAX_VALUE}) {
            String words = "inputs[1]: expected a token id from 0 to " + (end - 1) + ", got " + id;
            expectError(words, () -> session.step(new long[] {0, id}));
            expectError(words, () -> model.run(new long[] {0, id}, 2, 1, null));
        }
        expect(Arrays.equals(before, session.state()), "the state as before, after an id that there is not");
        session.step(new long[] {0, end - 1});
    }

    private void checkSession() {
        expectError("at least one", () -> new Session(model, 0));
        Session session = new Session(model, 2);
        float[] first = step(session, 2);
        float[] state = session.state();
        float[] second = step(session, 2);
        session.reset(state);
        expectError("inputs: expected", () -> step(session, 1));
        expectError("state: expected", () -> session.reset(new float[model.stateSize()]));
        Arrays.fill(state, 7); // the session has a copy of its own
        Arrays.fill(session.state(), 7);
        expect(Arrays.equals(second, step(session, 2)), "the second step again, after a reset to the state before");
        session.reset();
        expect(Arrays.equals(first, step(session, 2)), "the first step again, after a reset");
    }

    /** A row gives the same bits in any batch. */
    private void checkBatch() {
        float[] one = step(new Session(model, 1), 1);
        float[] three = step(new Session(model, 3), 3);
        for (int row = 0; row < 3; row++) {
            int from = row * model.outputSize();
            float[] got = Arrays.copyOfRange(three, from, from + model.outputSize());
            expect(Arrays.equals(one, got), "row " + row + " as it is alone");
        }
    }

    /** Threads with a session each do not disturb one another. */
    private void checkThreads() {
        float[] expected = steps(100);
        boolean equal = IntStream.range(0, 8).parallel().allMatch(i -> Arrays.equals(expected, steps(100)));
        expect(equal, "the same outputs in all threads");
    }

    private float[] steps(int count) {
        Session session = new Session(model, 1);
        float[] outputs = {};
        for (int i = 0; i < count; i++) outputs = step(session, 1);
        return outputs;
    }

    private static void checkFiles() throws IOException {
        expectError("run ci.sh", () -> Main.load("no such model"));
        Path folder = Files.createTempDirectory("recurrent-errors");
        Path manifest = folder.resolve("none.json");
        Path library = folder.resolve("libnone.so");
        try {
            Files.writeString(manifest, "{\"signature\": ");
            expectError("got no " + library, () -> Model.load(folder, "none"));
            Files.writeString(library, "no such library");
            expectError("none.json: expected", () -> Model.load(folder, "none"));
            Files.writeString(manifest, "{\"signature\": {}}");
            expectError("expected manifest format 2, got null; export and scaffold", () -> Model.load(folder, "none"));
            Files.writeString(manifest, "{\"format_version\": 2, \"signature\": {}}");
            expectError("none.json: expected", () -> Model.load(folder, "none"));
            String tensors = "{\"inputs\": [{}, {}], \"outputs\": [{}]}";
            Files.writeString(manifest, "{\"format_version\": 2, \"signature\": " + tensors + "}");
            expectError("one tensor of inputs and one of outputs, got 2 and 1; call", () -> Model.load(folder, "none"));
        } finally {
            for (Path file : new Path[] {manifest, library, folder}) Files.deleteIfExists(file);
        }
    }
}
