/** Asks the leader of the control stream until something is certain, while there is time. */

export interface Question<Answer, T> {
  /** Asks once; answers within the time, also that nobody did. */
  readonly ask: (timeoutMs: number) => Promise<Answer>;
  /** What an answer comes to; null when nothing is certain by it, and it has to be asked again. */
  readonly certain: (answer: Answer) => T | null | Promise<T | null>;
  /** From an answer by which nothing is certain to the next asking. */
  readonly againMs: number;
  /** Without any answer for so long it is asked once more, beside what is under way. */
  readonly besideMs: number;
  /** The end of it, by `performance.now()`. */
  readonly deadlineMs: number;
}

/**
 * A leader that died has taken the question with it, so a silent one is asked again. A leader that is far, or whose followers
 * are, is silent for as long: so all that was asked is listened to until the end, and the first certain answer counts.
 * @returns null when the time is up.
 */
export function askUntilCertain<Answer, T>(question: Question<Answer, T>): Promise<T | null> {
  const { ask, certain, againMs, besideMs, deadlineMs } = question;
  const { promise, resolve, reject } = Promise.withResolvers<T | null>();
  let begun = 0;
  let open = 0;
  let isSettled = false;
  let timer: NodeJS.Timeout | undefined;
  const leftMs = (): number => deadlineMs - performance.now();
  const settle = (value: T | null): void => {
    isSettled = true;
    clearTimeout(timer);
    resolve(value);
  };
  const beginIn = (ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(begin, Math.max(0, Math.min(ms, leftMs())));
  };
  const begin = (): void => {
    if (leftMs() < 1) {
      if (open === 0) settle(null);
      return;
    }
    begun += 1;
    open += 1;
    void once(begun).catch(reject);
    beginIn(besideMs);
  };
  const once = async (turn: number): Promise<void> => {
    const value = await certain(await ask(leftMs()));
    open -= 1;
    if (isSettled) return;
    if (value !== null) settle(value);
    else if (leftMs() < 1 && open === 0) settle(null);
    else if (turn === begun) beginIn(againMs);
  };
  begin();
  return promise;
}
