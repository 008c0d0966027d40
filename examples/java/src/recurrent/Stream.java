package recurrent;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** Reads one time step a line, numbers with blanks between them, and writes the outputs of each. */
final class Stream {
    private Stream() {}

    static void run(Model model, InputStream in, PrintStream out) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
        Session session = new Session(model, 1);
        int at = 0;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            at++;
            try {
                out.println(join(step(session, model, line.trim().split("\\s+"))));
            } catch (IllegalArgumentException error) { // NumberFormatException is one
                String what = model.inputSize() + (model.tokenIds() ? " token ids" : " numbers");
                String expected = "line " + at + ": expected " + what + " with blanks between them, got ";
                throw new IllegalArgumentException(expected + line, error);
            }
        }
    }

    private static float[] step(Session session, Model model, String[] words) {
        float[] numbers = new float[words.length];
        long[] tokens = new long[words.length];
        for (int i = 0; i < words.length; i++)
            if (model.tokenIds()) tokens[i] = Long.parseLong(words[i]);
            else numbers[i] = Float.parseFloat(words[i]);
        return model.tokenIds() ? session.step(tokens) : session.step(numbers);
    }

    private static String join(float[] numbers) {
        StringBuilder line = new StringBuilder();
        for (float number : numbers) line.append(line.length() == 0 ? "" : " ").append(number);
        return line.toString();
    }
}
