package recurrent; // Written by `rnn-export scaffold`: the programs for the models of `models/`.

import java.io.IOException;
import java.io.PrintStream;

/** The programs that use a model. */
final class Programs {
    static final String USAGE =
            "java -jar recurrent.jar stream NAME < STEPS\n"
                    + "       java -jar recurrent.jar generate NAME PROMPT LENGTH SEED\n";

    private Programs() {}

    /** Runs a program, if the command is that of one, with the arguments that it takes. */
    static boolean run(String command, String[] rest, PrintStream out) throws IOException {
        if (command.equals("stream") && rest.length == 1) {
            Stream.run(Main.load(rest[0]), System.in, out);
            return true;
        }
        if (command.equals("generate") && rest.length == 4 && areWhole(rest[2], rest[3])) {
            int seed = (int) Long.parseLong(rest[3]); // its low 32 bits
            Generate.run(Main.load(rest[0]), rest[1], Long.parseLong(rest[2]), seed, out);
            return true;
        }
        return false;
    }

    /** Tells whether LENGTH and SEED are whole numbers that fit into a long, and the length is not below zero. */
    private static boolean areWhole(String length, String seed) {
        return length.matches("\\d{1,18}") && seed.matches("-?\\d{1,18}");
    }
}
