/** What every transport of links has to do, whoever implements it. Run by `links.test.ts` against each. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Link, LinkOptions } from '../../storage/wire/link.ts';

/** The listening end: one storage node, as far as links go. */
export interface LinkPeer {
  /** What has come on all links, in order. */
  readonly heard: readonly Uint8Array[];
  /** Sends on the newest link. */
  send(bytes: Uint8Array): void;
  /** Is gone at once, as a process that is killed, and there again with nothing remembered. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export interface LinkFixture {
  readonly peer: LinkPeer;
  /** Bytes that may wait for a peer before a link is given up. */
  readonly bufferedBytesMax: number;
  dial(handlers: Pick<LinkOptions, 'onOpen' | 'onMessage' | 'onClose'>): Link;
  /** From now on nothing gets through in either direction, and no end is told. */
  cut(): void;
  heal(): void;
  /** Lets time pass until `condition` holds. */
  until(condition: () => boolean): Promise<void>;
  /** Lets a time pass in which everything under way arrives. */
  rest(): Promise<void>;
  stop(): Promise<void>;
}

type Heard =
  | { readonly kind: 'open' }
  | { readonly kind: 'close'; readonly why: string }
  | { readonly kind: 'message'; readonly bytes: Uint8Array };

/** A message that names itself, of any length from 4 on. */
function message(number: number, length = 4): Uint8Array {
  const bytes = new Uint8Array(length).fill(number % 251);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

const numberOf = (bytes: Uint8Array): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);

export function linkConformance(name: string, start: () => Promise<LinkFixture>): void {
  describe(`links: ${name}`, () => {
    let fixture: LinkFixture | null = null;
    afterEach(async () => {
      await fixture?.stop();
      fixture = null;
    });

    const setUp = async () => {
      const made = await start();
      fixture = made;
      const events: Heard[] = [];
      const link = made.dial({
        onOpen: () => events.push({ kind: 'open' }),
        onMessage: (bytes) => events.push({ kind: 'message', bytes }),
        onClose: ({ kind }) => events.push({ kind: 'close', why: kind }),
      });
      const kinds = (): readonly string[] => events.map(({ kind }) => kind);
      const count = (kind: Heard['kind']): number => kinds().filter((one) => one === kind).length;
      const messages = (): readonly Uint8Array[] =>
        events.flatMap((event) => (event.kind === 'message' ? [event.bytes] : []));
      return { ...made, link, events, kinds, count, messages };
    };

    test('nothing is sent before a link is open, and who tries is told', async () => {
      const { link, kinds, peer, until, rest } = await setUp();
      expect(link.isOpen).toBe(false);
      expect(link.send(message(1))).toBe(false);
      expect(kinds()).toEqual([]);
      await until(() => link.isOpen);
      expect(kinds()).toEqual(['open']);
      expect(link.send(message(2))).toBe(true);
      await until(() => peer.heard.length > 0);
      await rest();
      expect(peer.heard.map(numberOf)).toEqual([2]);
    });

    test('messages arrive whole and in the order in which they were sent, in both directions', async () => {
      const { link, peer, until, messages } = await setUp();
      await until(() => link.isOpen);
      const sent = [4, 100, 2_047, 2_048, 2_049, 70_000, 5, 300_000, 4].map((length, number) =>
        message(number, length),
      );
      for (const bytes of sent) expect(link.send(bytes)).toBe(true);
      for (const bytes of sent) peer.send(bytes);
      await until(() => peer.heard.length === sent.length && messages().length === sent.length);
      for (const [at, bytes] of sent.entries())
        for (const heard of [peer.heard[at], messages()[at]])
          expect(heard !== undefined && Buffer.compare(heard, bytes)).toBe(0);
    });

    test('no handler runs inside a call', async () => {
      const { link, kinds, until, peer } = await setUp();
      await until(() => link.isOpen);
      peer.send(message(1));
      link.send(message(2));
      const before = kinds();
      link.close();
      expect(kinds()).toEqual(before);
    });

    test('what waits to be taken is counted, and is nothing in the end', async () => {
      const { link, peer, until } = await setUp();
      await until(() => link.isOpen);
      expect(link.bufferedBytes).toBe(0);
      link.send(message(1, 300_000));
      await until(() => peer.heard.length === 1 && link.bufferedBytes === 0);
    });

    test('a link whose peer dies is closed once and opens by itself when the peer is there again; what was lost stays lost', async () => {
      const { link, peer, kinds, count, until, rest } = await setUp();
      await until(() => link.isOpen);
      await peer.stop();
      await until(() => !link.isOpen && count('close') === 1);
      expect(link.send(message(1))).toBe(false);
      await peer.start();
      await until(() => link.isOpen);
      expect(kinds()).toEqual(['open', 'close', 'open']);
      expect(link.send(message(2))).toBe(true);
      await until(() => peer.heard.map(numberOf).includes(2));
      await rest();
      expect(peer.heard.map(numberOf)).toEqual([2]);
    });

    test('a peer that is not there when it is called is found once it is', async () => {
      const made = await start();
      fixture = made;
      await made.peer.stop();
      let opened = 0;
      const nothing = (): void => undefined;
      const link = made.dial({ onOpen: () => opened++, onMessage: nothing, onClose: nothing });
      await made.rest();
      expect([link.isOpen, opened]).toEqual([false, 0]);
      await made.peer.start();
      await made.until(() => link.isOpen);
      expect(opened).toBe(1);
    });

    test('a peer of which nothing is heard is given up, and found again', async () => {
      const { link, peer, kinds, until, cut, heal } = await setUp();
      await until(() => link.isOpen);
      cut();
      await until(() => !link.isOpen);
      expect(link.send(message(1))).toBe(false);
      heal();
      await until(() => link.isOpen && kinds().length === 3);
      expect(kinds()).toEqual(['open', 'close', 'open']);
      link.send(message(2));
      await until(() => peer.heard.map(numberOf).includes(2));
    });

    test('a peer that takes too little is given up: the sender is told, the link is closed, and another one opens', async () => {
      const { link, kinds, events, until, cut, heal, bufferedBytesMax } = await setUp();
      await until(() => link.isOpen);
      cut();
      const piece = message(1, Math.floor(bufferedBytesMax / 4));
      // The kernel takes some of it as well.
      let pieces = 0;
      while (link.send(piece)) {
        pieces += 1;
        expect(pieces).toBeLessThan(200);
      }
      expect(pieces).toBeGreaterThanOrEqual(3);
      expect(link.isOpen).toBe(false);
      expect(kinds()).toEqual(['open']);
      await until(() => kinds().length === 2);
      expect(events[1]).toEqual({ kind: 'close', why: 'back-pressure' });
      heal();
      await until(() => link.isOpen);
      expect(kinds()).toEqual(['open', 'close', 'open']);
    });

    test('a link that is closed here says so once, and neither sends nor hears nor opens any more', async () => {
      const { link, peer, events, kinds, until, rest } = await setUp();
      await until(() => link.isOpen);
      link.close();
      expect([link.isOpen, link.send(message(1))]).toEqual([false, false]);
      peer.send(message(2));
      await until(() => kinds().length === 2);
      await rest();
      expect(events).toEqual([{ kind: 'open' }, { kind: 'close', why: 'closed-here' }]);
      expect(peer.heard).toEqual([]);
      link.close();
      await rest();
      expect(kinds()).toEqual(['open', 'close']);
    });

    test('a link that is closed before it was open never opens', async () => {
      const { link, kinds, rest } = await setUp();
      link.close();
      await rest();
      expect([link.isOpen, kinds()]).toEqual([false, []]);
    });
  });
}
