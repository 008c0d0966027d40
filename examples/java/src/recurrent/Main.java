package recurrent;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/** The program: that of {@link Programs}, and the checks golden and errors. Exit status 1 for errors, 2 for usage. */
final class Main {
    private static final String USAGE =
            "usage: "
                    + Programs.USAGE
                    + "       java -jar recurrent.jar golden FOLDER...\n"
                    + "       java -jar recurrent.jar errors NAME...";

    private Main() {}

    public static void main(String[] arguments) {
        PrintStream out = utf8(FileDescriptor.out);
        PrintStream err = utf8(FileDescriptor.err);
        int status;
        try {
            status = run(arguments, out, err);
        } catch (IOException | IllegalArgumentException error) {
            err.println("error: " + error.getMessage());
            status = 1;
        }
        if (out.checkError()) { // a PrintStream throws nothing
            err.println("error: standard output: cannot be written");
            status = 1;
        }
        System.exit(status);
    }

    /** Writes text in UTF-8, whatever the locale is. */
    private static PrintStream utf8(FileDescriptor descriptor) {
        return new PrintStream(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8);
    }

    private static int run(String[] arguments, PrintStream out, PrintStream err) throws IOException {
        String command = arguments.length == 0 ? "" : arguments[0];
        String[] rest = Arrays.copyOfRange(arguments, Math.min(1, arguments.length), arguments.length);
        if (Programs.run(command, rest, out)) return 0;
        if (command.equals("golden") && rest.length > 0) {
            return Golden.run(rest, out, err) ? 0 : 1;
        } else if (command.equals("errors") && rest.length > 0) {
            Errors.run(rest);
        } else {
            err.println(USAGE);
            return 2;
        }
        return 0;
    }

    /** Loads a model that was built beside the program. */
    static Model load(String name) throws IOException {
        try {
            Path program = Path.of(Main.class.getProtectionDomain().getCodeSource().getLocation().toURI());
            return Model.load(program.getParent(), name);
        } catch (URISyntaxException error) {
            throw new IOException("expected a program in a file, got " + error.getInput(), error);
        }
    }
}
