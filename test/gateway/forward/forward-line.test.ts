import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { BundleReplies } from '../../../gateway/forward/bundle-replies.ts';
import {
  bundlesOf,
  joinPieces,
  pieceBytes,
  splitPieces,
} from '../../../gateway/forward/core/forward-bundle.ts';
import {
  decodeRequest,
  encodeReply,
  type ForwardReply,
  type ForwardRequest,
} from '../../../gateway/forward/core/forward-messages.ts';
import { ForwardLine } from '../../../gateway/forward/forward-line.ts';
import type { ReplyOfMany, RequestOutcome } from '../../../regions/bus/nats-connection.ts';
import { machine } from '../../../storage/process/runtime.ts';

const poll = (call: string): ForwardRequest => ({ kind: 'poll', call, part: 0 });
const subject = 'sql.there';

/** Word for word, the call that a message is about. */
const callOf = (message: Uint8Array): string => {
  const decoded = decodeRequest(message);
  if (decoded.kind !== 'ok') return decoded.reason;
  return 'call' in decoded.value ? decoded.value.call : decoded.value.kind;
};

/** A connection that keeps what it is given. */
function connection() {
  const alone: string[] = [];
  const published: Uint8Array[] = [];
  const bundles: {
    readonly calls: readonly string[];
    reply: (reply: ReplyOfMany) => void;
    isOver: boolean;
  }[] = [];
  const line = new ForwardLine(
    {
      publish: (_, message) => {
        published.push(message);
        return 'sent';
      },
      request: (_, message) => {
        alone.push(callOf(message));
        return Promise.resolve({
          kind: 'reply',
          data: encodeReply({ kind: 'running' }),
          header: () => undefined,
        });
      },
      requestMany: (_, message, reply) => {
        const decoded = decodeRequest(message);
        const pieces =
          decoded.kind === 'ok' && decoded.value.kind === 'bundle' ? splitPieces(decoded.value.bytes) : null;
        if (pieces?.kind !== 'ok') throw new Error('no bundle');
        const bundle = { calls: pieces.value.map((piece) => callOf(piece.message)), reply, isOver: false };
        bundles.push(bundle);
        return {
          kind: 'sent',
          stop: () => {
            bundle.isOver = true;
          },
        };
      },
    },
    () => 1_000,
    machine,
  );
  const bundle = async (at: number) => {
    await vi.waitFor(() => expect(bundles.length).toBeGreaterThan(at));
    const found = bundles[at];
    if (found === undefined) throw new Error('there is no such bundle');
    return found;
  };
  return { line, alone, published, bundle, bundles };
}

const answers = (...replies: readonly (readonly [number, ForwardReply])[]): ReplyOfMany => ({
  kind: 'reply',
  data: encodeReply({
    kind: 'bundle',
    bytes: joinPieces(replies.map(([id, reply]) => ({ id, message: encodeReply(reply) }))),
  }),
});
const said = (outcome: RequestOutcome): string =>
  outcome.kind === 'reply' ? Buffer.from(outcome.data).toString('utf8', 4) : outcome.kind;

describe('a bundle', () => {
  const pieces = fc.array(fc.record({ id: fc.nat(), message: fc.uint8Array({ maxLength: 40 }) }), {
    maxLength: 8,
  });

  test('is taken apart into what it was made of, and refused in words when it is damaged', () => {
    fc.assert(
      fc.property(pieces, (given) => {
        const split = splitPieces(joinPieces(given));
        expect(split.kind === 'ok' && split.value.map(({ id, message }) => [id, ...message])).toEqual(
          given.map(({ id, message }) => [id, ...message]),
        );
      }),
    );
    const whole = joinPieces([{ id: 1, message: new Uint8Array(9) }]);
    for (let length = 1; length < whole.length; length += 1)
      expect(splitPieces(whole.subarray(0, length)).kind).toBe('malformed');
  });

  test('holds as much as a message takes, in order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 })), (sizes) => {
        const cut = bundlesOf(sizes, (size) => size, 20);
        expect(cut.flat()).toEqual(sizes);
        for (const bundle of cut)
          expect(bundle.length === 1 || bundle.reduce((sum, size) => sum + size, 0) <= 20).toBe(true);
      }),
    );
  });
});

describe('what is asked of a writer', () => {
  test('travels alone when nothing else is asked', async () => {
    const { line, alone, bundles } = connection();
    expect(said(await line.ask(subject, poll('a'), 1_000))).toContain('running');
    expect([alone, bundles]).toEqual([['a'], []]);
  });

  test('travels together when it is asked in one turn, and each is answered when its answer comes', async () => {
    const { line, alone, bundle } = connection();
    const asked = ['a', 'b', 'c'].map((call) => line.ask(subject, poll(call), 1_000));
    const first = await bundle(0);
    expect(first.calls).toEqual(['a', 'b', 'c']);
    first.reply(answers([2, { kind: 'unknown' }], [0, { kind: 'running' }]));
    expect(said((await asked[2]) ?? { kind: 'timeout' })).toContain('unknown');
    expect(said((await asked[0]) ?? { kind: 'timeout' })).toContain('running');
    expect(first.isOver).toBe(false);
    first.reply(answers([1, { kind: 'received' }]));
    expect(said((await asked[1]) ?? { kind: 'timeout' })).toContain('received');
    expect([first.isOver, alone]).toEqual([true, []]);
  });

  test('has reached nobody when the server says so, and is given up when its time is over', async () => {
    const { line, bundle } = connection();
    const gone = ['a', 'b'].map((call) => line.ask(subject, poll(call), 1_000));
    (await bundle(0)).reply({ kind: 'no-responders' });
    expect((await Promise.all(gone)).map(said)).toEqual(['no-responders', 'no-responders']);
    const silent = ['c', 'd'].map((call) => line.ask(subject, poll(call), 400));
    const second = await bundle(1);
    second.reply(answers([1, { kind: 'running' }]));
    expect(said((await silent[0]) ?? { kind: 'no-responders' })).toBe('timeout');
    expect(said((await silent[1]) ?? { kind: 'no-responders' })).toContain('running');
    expect(second.isOver).toBe(true);
  });

  test('is asked one by one of a gateway that knows no bundles, from then on', async () => {
    const { line, alone, bundle, bundles } = connection();
    const asked = ['a', 'b'].map((call) => line.ask(subject, poll(call), 1_000));
    const refused: ForwardReply = { kind: 'refused', reason: 'malformed', message: 'what is a bundle?' };
    (await bundle(0)).reply({ kind: 'reply', data: encodeReply(refused) });
    await Promise.all(asked);
    await Promise.all(['c', 'd'].map((call) => line.ask(subject, poll(call), 1_000)));
    expect(alone).toEqual(['a', 'b', 'c', 'd']);
    expect(bundles).toHaveLength(1);
  });

  test('takes word along that wants no answer, once bundles are known to be taken', async () => {
    const { line, published, bundle } = connection();
    line.tell(subject, { kind: 'forget', call: 'early' });
    expect(published.map(callOf)).toEqual(['early']);
    const asked = ['a', 'b'].map((call) => line.ask(subject, poll(call), 1_000));
    (await bundle(0)).reply(answers([0, { kind: 'running' }], [1, { kind: 'running' }]));
    await Promise.all(asked);
    line.tell(subject, { kind: 'forget', call: 'late' });
    void line.ask(subject, poll('c'), 1_000);
    expect((await bundle(1)).calls).toEqual(['c', 'late']);
    line.tell(subject, { kind: 'close', stream: 's' });
    await vi.waitFor(() => expect(published).toHaveLength(2));
  });

  test('is cut into messages that the server takes', async () => {
    const { line, bundle } = connection();
    const calls = Array.from({ length: 12 }, (_, at) => String.fromCharCode(97 + at));
    for (const call of calls) void line.ask(subject, poll(call.repeat(100)), 1_000);
    const found = [...(await bundle(0)).calls, ...(await bundle(1)).calls];
    expect(found.length).toBeLessThanOrEqual(12);
    expect((await bundle(1)).calls.length).toBeGreaterThan(0);
    expect(pieceBytes(new Uint8Array(5))).toBe(13);
  });
});

test('answers to a bundle that are ready in one turn leave together, and none waits for a slower one', async () => {
  const left: string[][] = [];
  const replies = new BundleReplies(
    {
      respond: (message) => {
        const text = Buffer.from(message).toString('utf8');
        left.push([...text.matchAll(/"kind":"(running|unknown|received)"/g)].map((match) => match[1] ?? ''));
        return 'sent';
      },
    },
    1_000,
    machine,
  );
  replies.add(0, { kind: 'running' });
  replies.add(2, { kind: 'unknown' });
  await vi.waitFor(() => expect(left).toHaveLength(1));
  replies.add(1, { kind: 'received' });
  await vi.waitFor(() => expect(left).toEqual([['running', 'unknown'], ['received']]));
});
