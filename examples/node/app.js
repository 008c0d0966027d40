/** What the programs share: where the models are, and how an error is told. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Give the folder of a model.
 * @param {string} name of its folder in models/
 */
export function folderOf(name) {
  return join(dirname(fileURLToPath(import.meta.url)), "models", name);
}

/**
 * Run a program: 1 is the exit status of one that throws, 2 that of one with too many arguments or too few.
 * @param {string} usage what it takes
 * @param {(count: number) => boolean} fits whether it takes that many arguments
 * @param {(...given: string[]) => Promise<void>} main
 */
export async function start(usage, fits, main) {
  const given = process.argv.slice(2);
  if (!fits(given.length)) {
    console.error(`usage: ${usage}`);
    process.exit(2);
  }
  try {
    await main(...given);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}
