/**
 * What a program does when nobody reads its output any more (`| head -1`). Left alone, the stream's error is an uncaught one:
 * the program ends with a stack, or, if it reports what is uncaught on that very stream, never.
 */

/** 128 + SIGPIPE: what a shell says of a program that this signal ended. */
export const brokenPipeExitCode = 141;

let act: (() => void) | undefined;
let isBroken = false;

/**
 * Runs `handler` once standard output or standard error cannot be written to any more; later errors of either are passed over.
 * A later call takes the place of an earlier one, and runs at once if it has happened already.
 */
export function onBrokenPipe(handler: () => void): void {
  const first = act === undefined;
  act = handler;
  if (isBroken) handler();
  if (!first) return;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (isBroken) return;
      isBroken = true;
      // A full disk, say, is worth a word on the other stream.
      if (stream === process.stdout && error.code !== 'EPIPE')
        process.stderr.write(`the output cannot be written: ${error.message}\n`);
      act?.();
    });
  }
}

/** For programs that have nothing to stop: they end, quietly. */
export function endOnBrokenPipe(): void {
  onBrokenPipe(() => process.exit(brokenPipeExitCode));
}
