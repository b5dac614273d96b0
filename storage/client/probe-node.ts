/** Looks whether a storage node that is not of the region yet can be reached, and is the one that is meant. */
import { machine } from '../process/runtime.ts';
import { StorageClient, type StorageClientOptions } from '../wire/storage-client.ts';

const probeMs = 5_000;

/** @returns why it cannot be used, in words for an operator, within 5 s; null when it can. */
export function probeNode(options: Omit<StorageClientOptions, 'onUp' | 'onDown'>): Promise<string | null> {
  const { target, place = {} } = options;
  const { runtime = machine } = place;
  return new Promise((resolve) => {
    const answer = (reason: string | null): void => {
      deadline.stop();
      client.close();
      resolve(reason);
    };
    const client = new StorageClient({ ...options, onUp: () => answer(null) });
    const deadline = runtime.after(probeMs, () =>
      answer(
        client.refusal ??
          `${target.node} does not answer at ${target.address}: start it first (\`sextant storage --config FILE --node ${target.node}\`)`,
      ),
    );
  });
}
