package recurrent;

import java.io.PrintStream;

/** Continues a text, one character at a time, the state fed back. */
final class Generate {
    private static final double TEMPERATURE = 0.6; // below 1: safer; above 1: wilder

    private Generate() {}

    static void run(Model model, String prompt, long length, int seed, PrintStream out) {
        int[] vocabulary = vocabulary(model);
        int numbers = seed;
        long[] tokens = tokens(prompt, vocabulary);
        Session session = new Session(model, 1);
        float[] logits = {};
        for (long token : tokens) logits = session.step(new long[] {token});
        out.print(prompt);
        for (long i = 0; i < length; i++) {
            numbers += 0x6D2B79F5;
            int token = choose(logits, uniform(numbers));
            out.print(Character.toString(vocabulary[token]));
            logits = session.step(new long[] {token});
        }
        out.println();
    }

    private static int[] vocabulary(Model model) {
        int[] characters = model.vocabulary().orElse("").codePoints().toArray();
        int logits = model.isPlain() ? model.outputs().get(0).size() : 0;
        if (characters.length == 0 || characters.length != logits) {
            String expected = ": expected a text model, of " + logits + " characters, got one of ";
            throw new IllegalArgumentException(model.name() + expected + characters.length);
        }
        return characters;
    }

    /** Gives the token id of each character of a text. */
    private static long[] tokens(String text, int[] vocabulary) {
        if (text.isEmpty()) throw new IllegalArgumentException("expected a prompt of one or more characters, got none");
        return text.codePoints().mapToLong(character -> {
            for (int token = 0; token < vocabulary.length; token++) if (vocabulary[token] == character) return token;
            String expected = "expected a prompt of characters of the model's vocabulary, got \"";
            throw new IllegalArgumentException(expected + Character.toString(character) + "\" in it");
        }).toArray();
    }

    /** Mixes a counter to a uniform number in [0, 1): Tommy Ettinger's mulberry32, public domain. */
    private static double uniform(int counter) {
        int mixed = (counter ^ counter >>> 15) * (counter | 1);
        mixed ^= mixed + (mixed ^ mixed >>> 7) * (mixed | 61);
        return Integer.toUnsignedLong(mixed ^ mixed >>> 14) / 0x1p32;
    }

    /** Draws a token from the softmax of the logits, by where a uniform number falls in its sum. */
    private static int choose(float[] logits, double uniform) {
        double[] cumulative = new double[logits.length];
        double largest = Double.NEGATIVE_INFINITY;
        double sum = 0;
        for (float logit : logits) largest = Math.max(largest, logit / TEMPERATURE);
        for (int i = 0; i < logits.length; i++) cumulative[i] = sum += Math.exp(logits[i] / TEMPERATURE - largest);
        if (!Double.isFinite(sum))
            throw new IllegalArgumentException("expected finite logits, got NaN or infinity; look at the weights");
        int token = 0;
        while (token + 1 < logits.length && !(cumulative[token] > uniform * sum)) token++;
        return token;
    }
}
