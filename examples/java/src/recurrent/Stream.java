package recurrent;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Array;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Reads one time step a line, numbers with blanks between them, and writes the outputs of each. Of several inputs the
 * numbers stand one after another, in the manifest's order; truth values are 0 and 1.
 */
final class Stream {
    private static final Map<Spec.Kind, String> WORDS =
            Map.of(Spec.Kind.FLOAT32, " numbers", Spec.Kind.INT64, " token ids", Spec.Kind.BOOL, " times 0 or 1");

    private Stream() {}

    static void run(Model model, InputStream in, PrintStream out) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
        Session session = new Session(model, 1);
        int at = 0;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            at++;
            try {
                out.println(join(model, session.step(read(model, line.trim().split("\\s+")))));
            } catch (IllegalArgumentException error) { // NumberFormatException is one
                String what = model.inputs().stream()
                        .map(spec -> spec.size() + WORDS.get(spec.kind()))
                        .collect(Collectors.joining(" and "));
                String expected = "line " + at + ": expected " + what + " with blanks between them, got ";
                throw new IllegalArgumentException(expected + line, error);
            }
        }
    }

    private static Map<String, Object> read(Model model, String[] words) {
        Map<String, Object> step = new LinkedHashMap<>();
        int at = 0;
        for (Spec spec : model.inputs()) {
            String[] own = Arrays.copyOfRange(words, Math.min(at, words.length), Math.min(at + spec.size(), words.length));
            step.put(spec.name(), parse(spec, own));
            at += spec.size();
        }
        if (words.length > at) throw new IllegalArgumentException("more numbers");
        return step;
    }

    private static Object parse(Spec spec, String[] words) {
        Object values = spec.zeros(words.length);
        for (int i = 0; i < words.length; i++) {
            if (spec.kind() == Spec.Kind.INT64) ((long[]) values)[i] = Long.parseLong(words[i]);
            else if (spec.kind() == Spec.Kind.FLOAT32) ((float[]) values)[i] = Float.parseFloat(words[i]);
            else if (words[i].equals("0") || words[i].equals("1")) ((boolean[]) values)[i] = words[i].equals("1");
            else throw new IllegalArgumentException("no truth value");
        }
        return values;
    }

    private static String join(Model model, Map<String, Object> outputs) {
        StringBuilder line = new StringBuilder();
        for (Spec spec : model.outputs()) {
            Object values = outputs.get(spec.name());
            for (int i = 0; i < Array.getLength(values); i++) {
                Object value = Array.get(values, i);
                if (value instanceof Boolean) value = (Boolean) value ? 1 : 0;
                line.append(line.length() == 0 ? "" : " ").append(value);
            }
        }
        return line.toString();
    }
}
