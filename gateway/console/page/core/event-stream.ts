/** Server-sent events out of the pieces they arrive in. Pure. */

/** Longer than any event of ours: a stream that sends more without an end is not one. */
const eventCharactersMax = 4 * 1024 * 1024;

export interface Events {
  /** The data of each event that is complete. */
  readonly data: readonly string[];
  /** What has arrived of the next one. */
  readonly rest: string;
}

/** @throws when an event has no end within 4 MiB. */
export function takeEvents(rest: string, piece: string): Events {
  const blocks = (rest + piece).split('\n\n');
  const last = blocks.pop() ?? '';
  if (last.length > eventCharactersMax) throw new Error('an event of the feed has no end');
  const data = blocks.flatMap((block) => {
    const lines = block.split('\n').filter((line) => line.startsWith('data:'));
    return lines.length === 0 ? [] : [lines.map((line) => line.slice(5).trimStart()).join('\n')];
  });
  return { data, rest: last };
}
