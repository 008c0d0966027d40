package recurrent;

import com.sun.jna.Function;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The functions of call.c. JNA gives them a copy of each array, and copies back what they wrote. */
final class Call {
    private static boolean bound;

    private Call() {}

    /** Binds the methods to the library in a folder, unless they are already. */
    static synchronized void bind(Path folder) {
        if (bound) return;
        Path library = folder.resolve("librecurrent-call.so").toAbsolutePath();
        Native.register(Call.class, NativeLibrary.getInstance(library.toString()));
        bound = true;
    }

    static native void run(
            Pointer function, long steps, long batch,
            float[] inputs, float[] stateIn, float[] outputs, float[] stateOut, Pointer workspace);

    static native void run(
            Pointer function, long steps, long batch,
            long[] inputs, float[] stateIn, float[] outputs, float[] stateOut, Pointer workspace);

    /** Runs a model of any number of inputs and outputs, which takes some microseconds more: JNA's other way. */
    static void run(Function function, long steps, long batch, List<Object> arrays, Pointer workspace) {
        List<Object> arguments = new ArrayList<>(List.of(steps, batch));
        arguments.addAll(arrays);
        if (workspace != null) arguments.add(workspace);
        function.invokeVoid(arguments.toArray());
    }

    static native void initialState(Pointer function, long batch, float[] state);
}
