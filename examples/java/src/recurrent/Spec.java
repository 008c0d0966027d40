package recurrent;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.lang.reflect.Array;
import java.util.Locale;
import java.util.OptionalLong;

/** An input or an output of a model: what the bundle's manifest says of it. */
public final class Spec {
    /** What a tensor holds: {@code float[]}, {@code long[]}, such as token ids, or {@code boolean[]}. */
    public enum Kind {
        FLOAT32,
        INT64,
        BOOL
    }

    private final String name;
    private final Kind kind;
    private final int size;
    private final boolean everyStep;
    private final long vocabularySize; // 0: not known, or no ids

    Spec(JsonObject tensor) {
        JsonElement ids = tensor.get("vocabulary");
        name = tensor.get("name").getAsString();
        kind = Kind.valueOf(tensor.get("dtype").getAsString().toUpperCase(Locale.ROOT));
        size = units(tensor);
        everyStep = tensor.getAsJsonArray("shape").contains(new JsonPrimitive("time"));
        vocabularySize = ids == null ? 0 : ids.getAsLong();
    }

    /** The numbers of a tensor for each row and time step. */
    private static int units(JsonObject tensor) {
        int product = 1;
        for (JsonElement size : tensor.getAsJsonArray("shape"))
            if (size.getAsJsonPrimitive().isNumber()) product = Math.multiplyExact(product, size.getAsInt());
        return product;
    }

    /** Floats that a row takes in the state: an int64 has the bits of two, a truth value those of one. */
    int floats() {
        return size * (kind == Kind.INT64 ? 2 : 1);
    }

    /** The name in the manifest. */
    public String name() {
        return name;
    }

    /** What it holds. */
    public Kind kind() {
        return kind;
    }

    /** Values for each row, and for each time step if it has such. */
    public int size() {
        return size;
    }

    /** Whether it is one of every time step; else the same for a whole call, or what the last time step gives. */
    public boolean everyStep() {
        return everyStep;
    }

    /** How many token ids there are, from 0 on; empty if that is not known, or if it holds none. */
    public OptionalLong vocabularySize() {
        return vocabularySize == 0 ? OptionalLong.empty() : OptionalLong.of(vocabularySize);
    }

    /** Checks that token ids are in the vocabulary, if that is known. */
    void checkTokens(long[] tokens) {
        if (vocabularySize == 0) return;
        for (int i = 0; i < tokens.length; i++)
            if (tokens[i] < 0 || tokens[i] >= vocabularySize)
                throw wrong("[" + i + "]", "a token id from 0 to " + (vocabularySize - 1), tokens[i]);
    }

    /** Multiplies sizes, which may come from outside, without overflow. */
    int count(int steps, int batch) {
        return count(name, everyStep ? steps : 1, batch, size);
    }

    /** Multiplies sizes of something without overflow. */
    static int count(String what, int steps, int batch, int size) {
        String got = steps + " steps of " + batch + " rows";
        if (steps < 1 || batch < 1) throw wrong(what, "", "at least one time step and one row", got);
        try {
            return Math.multiplyExact(Math.multiplyExact(steps, batch), size);
        } catch (ArithmeticException error) {
            throw wrong(what, "", "less than 2^31 numbers", got + " of " + size);
        }
    }

    /** Makes an array of the kind. */
    Object zeros(int count) {
        if (kind == Kind.INT64) return new long[count];
        return kind == Kind.BOOL ? new boolean[count] : new float[count];
    }

    /** Checks the kind and the size of an array, and its token ids. */
    void check(Object values, int steps, int batch) {
        int length = length(values);
        int expected = count(steps, batch);
        String taken = kind.toString().toLowerCase(Locale.ROOT);
        if (length < 0 || !values.getClass().equals(zeros(0).getClass()))
            throw wrong("", taken, values == null ? "null" : values.getClass().getSimpleName());
        if (length != expected)
            throw wrong("", expected + " numbers for " + steps + " steps of " + batch + " rows", length);
        if (kind == Kind.INT64) checkTokens((long[]) values);
    }

    private static int length(Object values) {
        return values != null && values.getClass().isArray() ? Array.getLength(values) : -1;
    }

    private IllegalArgumentException wrong(String place, String expected, Object got) {
        return wrong(name, place, expected, got);
    }

    private static IllegalArgumentException wrong(String what, String place, String expected, Object got) {
        return new IllegalArgumentException(what + place + ": expected " + expected + ", got " + got);
    }
}
