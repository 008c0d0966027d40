package recurrent;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.lang.reflect.Array;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** A golden tensor: raw little-endian bytes, with the sizes before, of and behind the time axis. */
final class Tensor {
    final int outer;
    final int time;
    final int inner;
    private final String dtype;
    private final byte[] bytes;

    private Tensor(String dtype, byte[] bytes, int outer, int time, int inner) {
        this.dtype = dtype;
        this.bytes = bytes;
        this.outer = outer;
        this.time = time;
        this.inner = inner;
    }

    /** Reads an entry of the index; what has no time axis in the manifest's shape is one step. */
    static Tensor read(JsonObject entry, JsonArray shape, byte[] file) {
        String dtype = entry.get("dtype").getAsString();
        JsonArray sizes = entry.getAsJsonArray("shape");
        int axis = -1;
        for (int i = 0; i < shape.size(); i++) if (shape.get(i).equals(new JsonPrimitive("time"))) axis = i;
        int outer = product(sizes, 0, axis);
        int time = axis < 0 ? 1 : sizes.get(axis).getAsInt();
        int inner = product(sizes, axis + 1, sizes.size());
        int offset = entry.get("offset").getAsInt();
        int every = every(entry);
        int count = outer * time * inner;
        int stored = (count + every - 1) / every;
        int end = offset + stored * width(dtype);
        if (end > file.length)
            throw new IllegalArgumentException("tensors.bin of " + end + " bytes or more, not of " + file.length);
        byte[] bytes = new byte[count * width(dtype)];
        for (int i = 0; i < stored; i++)
            System.arraycopy(file, offset + i * width(dtype), bytes, i * every * width(dtype), width(dtype));
        return new Tensor(dtype, bytes, outer, time, inner);
    }

    /** Tells which numbers of a large tensor the file holds: each first, second, third, ... one. */
    static int every(JsonObject entry) {
        return entry.has("every") ? entry.get("every").getAsInt() : 1;
    }

    /** Takes some numbers of a dtype from floats, where an int64 lies in the bits of two, a truth value in those of one. */
    static Tensor of(String dtype, float[] floats, int from, int count) {
        byte[] bytes = new byte[count * width(dtype)];
        if (!dtype.equals("bool")) little(bytes).asFloatBuffer().put(floats, from, bytes.length / 4);
        else for (int i = 0; i < count; i++) bytes[i] = (byte) (Float.floatToRawIntBits(floats[from + i]) == 0 ? 0 : 1);
        return new Tensor(dtype, bytes, 1, 1, count);
    }

    /** Takes an array that a model gave. */
    static Tensor of(Object values) {
        int count = Array.getLength(values);
        String dtype = values instanceof long[] ? "int64" : values instanceof boolean[] ? "bool" : "float32";
        byte[] bytes = new byte[count * width(dtype)];
        if (values instanceof long[]) little(bytes).asLongBuffer().put((long[]) values);
        if (values instanceof float[]) little(bytes).asFloatBuffer().put((float[]) values);
        if (values instanceof boolean[])
            for (int i = 0; i < count; i++) bytes[i] = (byte) (((boolean[]) values)[i] ? 1 : 0);
        return new Tensor(dtype, bytes, 1, 1, count);
    }

    private static int product(JsonArray sizes, int from, int to) {
        int product = 1;
        for (int i = from; i < to; i++) product *= sizes.get(i).getAsInt();
        return product;
    }

    private static int width(String dtype) {
        return dtype.equals("bool") ? 1 : dtype.equals("float32") ? 4 : 8;
    }

    int count() {
        return outer * time * inner;
    }

    /** Gives one time step, which lies in pieces if time is not the first axis. */
    Tensor step(int step) {
        int piece = inner * width(dtype);
        byte[] taken = new byte[outer * piece];
        for (int i = 0; i < outer; i++) System.arraycopy(bytes, (i * time + step) * piece, taken, i * piece, piece);
        return new Tensor(dtype, taken, outer, 1, inner);
    }

    /** Gives the numbers, of an int64 tensor. */
    private long[] tokens() {
        long[] tokens = new long[count()];
        little(bytes).asLongBuffer().get(tokens);
        return tokens;
    }

    /** Gives the truth values, of a bool tensor. */
    private boolean[] truths() {
        boolean[] truths = new boolean[count()];
        for (int i = 0; i < truths.length; i++) truths[i] = bytes[i] != 0;
        return truths;
    }

    /** Gives an array as a model takes it. */
    Object values() {
        if (dtype.equals("int64")) return tokens();
        return dtype.equals("bool") ? truths() : floats();
    }

    /** Gives the floats of a state; of an int64 tensor, two with the bits of each number, of a truth value one. */
    float[] floats() {
        if (dtype.equals("bool")) {
            float[] bits = new float[count()];
            for (int i = 0; i < bits.length; i++) bits[i] = Float.intBitsToFloat(bytes[i] == 0 ? 0 : -1);
            return bits;
        }
        float[] floats = new float[bytes.length / 4];
        little(bytes).asFloatBuffer().get(floats);
        return floats;
    }

    double get(int i) {
        ByteBuffer buffer = little(bytes);
        if (dtype.equals("float64")) return buffer.getDouble(8 * i);
        if (dtype.equals("int64")) return buffer.getLong(8 * i);
        if (dtype.equals("bool")) return buffer.get(i);
        return buffer.getFloat(4 * i);
    }

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
