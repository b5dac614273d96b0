/** The most memory that was seen at any look, by kind of process. Linux only; elsewhere all is 0. */
import { type Roles, residentBytes, sample } from './accounting.ts';

/** Bytes by kind of process. */
export type Memory = Readonly<Record<string, number>>;

const lookEveryMs = 1_000;

/** Proportional memory (PSS) of the largest process of each kind. */
export function largest(kinds: Roles): Memory {
  return Object.fromEntries(
    Object.entries(kinds).map(([kind, pids]) => [
      kind,
      Math.max(0, ...pids.map((pid) => residentBytes(pid, true))),
    ]),
  );
}

/** The same of all processes of a kind together, those included that they have started. */
export async function together(kinds: Roles): Promise<Memory> {
  const { roles } = await sample(kinds, { memory: true });
  return Object.fromEntries(Object.entries(roles).map(([kind, usage]) => [kind, usage.residentBytes]));
}

/** @returns a function that ends the looking and gives the peaks. */
export function watchPeaks(look: () => Memory | Promise<Memory>): () => Promise<Memory> {
  const peaks = new Map<string, number>();
  const note = async (): Promise<void> => {
    for (const [kind, bytes] of Object.entries(await look()))
      peaks.set(kind, Math.max(bytes, peaks.get(kind) ?? 0));
  };
  let looking = note();
  const timer = setInterval(() => {
    looking = looking.then(note);
  }, lookEveryMs);
  return async () => {
    clearInterval(timer);
    await looking;
    await note();
    return Object.fromEntries(peaks);
  };
}
