import { describe, expect, it, vi } from 'vitest';
import { machine, type Runtime } from '../../../storage/process/runtime.ts';
import { LinkRpc, type RpcReply, type RpcResult } from '../../../storage/wire/link-rpc.ts';

interface Side {
  readonly rpc: LinkRpc;
  readonly notices: [number, string][];
  readonly requests: { readonly kind: number; readonly text: string; readonly reply: RpcReply }[];
}

/** Two ends of a link that delivers at once; `cut.now` makes it take nothing. */
function pair(pendingMax = 10): { readonly a: Side; readonly b: Side; readonly cut: { now: boolean } } {
  const cut: { now: boolean } = { now: false };
  const side = (other: () => LinkRpc): Side => {
    const notices: Side['notices'] = [];
    const requests: Side['requests'] = [];
    const rpc = new LinkRpc({
      pendingMax,
      send: (message) => {
        if (cut.now) return false;
        queueMicrotask(() => expect(other().receive(message)).toBe(true));
        return true;
      },
      onRequest: (kind, body, reply) => {
        if (kind === 99) return false;
        requests.push({ kind, text: text(body), reply });
        return true;
      },
      onNotice: (kind, body) => notices.push([kind, text(body)]),
    });
    return { rpc, notices, requests };
  };
  const a: Side = side(() => b.rpc);
  const b: Side = side(() => a.rpc);
  return { a, b, cut };
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function ask(rpc: LinkRpc, kind: number, body: string, timeoutMs = 1000): Promise<RpcResult> {
  return new Promise((resolve) => rpc.request(kind, Buffer.from(body), timeoutMs, resolve));
}

describe('requests over a link', () => {
  it('get their own responses, whatever the order and whoever asks', async () => {
    const { a, b } = pair();
    const answers = [ask(a.rpc, 0, 'one'), ask(a.rpc, 126, 'two'), ask(b.rpc, 5, 'three')];
    await turn();
    for (const { text: asked, kind, reply } of b.requests.reverse()) {
      expect(reply([Buffer.from(`${kind}:`), Buffer.from(asked)])).toBe(true);
    }
    for (const { text: asked, reply } of a.requests) reply(Buffer.from(asked));
    const bodies = (await Promise.all(answers)).map(
      (answer) => answer.kind === 'response' && text(answer.body),
    );
    expect(bodies).toEqual(['0:one', '126:two', 'three']);
    expect(a.rpc.pendingCount + b.rpc.pendingCount).toBe(0);
  });

  it('can go one way', async () => {
    const { a, b } = pair();
    expect(a.rpc.notify(7, Buffer.from('notice'))).toBe(true);
    await turn();
    expect(b.notices).toEqual([[7, 'notice']]);
    expect(b.requests).toEqual([]);
  });

  it('fail as values: not sent, not supported, too many, timed out', async () => {
    const { a, b, cut } = pair(2);
    expect(await ask(a.rpc, 99, '')).toEqual({ kind: 'failed', reason: 'unsupported' });
    cut.now = true;
    expect(await ask(a.rpc, 1, '')).toEqual({ kind: 'failed', reason: 'not-sent' });
    expect(a.rpc.notify(1, Buffer.alloc(0))).toBe(false);
    cut.now = false;
    const waiting = [ask(a.rpc, 1, 'a', 20), ask(a.rpc, 1, 'b', 20)];
    expect(await ask(a.rpc, 1, 'c')).toEqual({ kind: 'failed', reason: 'too-many' });
    expect(await Promise.all(waiting)).toEqual([
      { kind: 'failed', reason: 'timeout' },
      { kind: 'failed', reason: 'timeout' },
    ]);
    // The late answers disturb nobody.
    for (const { reply } of b.requests) reply(Buffer.from('late'));
    await turn();
    expect(a.rpc.pendingCount).toBe(0);
  });

  it('all fail when the link closes, and late replies never reach the next connection', async () => {
    const { a, b } = pair();
    const waiting = [ask(a.rpc, 1, 'a'), ask(a.rpc, 1, 'b')];
    await turn();
    a.rpc.linkClosed();
    b.rpc.linkClosed();
    expect(await Promise.all(waiting)).toEqual([
      { kind: 'failed', reason: 'closed' },
      { kind: 'failed', reason: 'closed' },
    ]);
    expect(b.requests.map(({ reply }) => reply(Buffer.from('stale')))).toEqual([false, false]);
  });

  it('time out when they are due, whatever was asked before, with one timer at most', async () => {
    const time = { nowMs: 0 };
    const timers = new Map<object, { readonly atMs: number; readonly run: () => void }>();
    const runtime: Runtime = {
      ...machine,
      nowMs: () => time.nowMs,
      after: (delayMs, run) => {
        const timer = { stop: () => void timers.delete(timer) };
        timers.set(timer, { atMs: time.nowMs + delayMs, run });
        return timer;
      },
    };
    const goTo = (nowMs: number): void => {
      time.nowMs = nowMs;
      for (const [timer, { atMs, run }] of [...timers]) if (atMs <= nowMs && timers.delete(timer)) run();
    };
    const sent: Uint8Array[] = [];
    const ended: string[] = [];
    const rpc = new LinkRpc({
      pendingMax: 10,
      send: (message) => sent.push(message) > 0,
      onRequest: () => false,
      onNotice: () => undefined,
      runtime,
    });
    const request = (name: string, timeoutMs: number): void =>
      rpc.request(1, [], timeoutMs, (result) =>
        ended.push(`${name} ${result.kind === 'failed' ? result.reason : 'answered'} at ${time.nowMs}`),
      );
    request('slow', 5_000);
    request('quick', 1_000);
    expect(timers.size).toBe(1);
    goTo(500);
    request('answered', 1_000);
    const answer = Uint8Array.from(sent[2] ?? []);
    answer.set([0x81]);
    expect(rpc.receive(answer)).toBe(true);
    request('next', 1_000);
    expect(timers.size).toBe(1);
    goTo(999);
    goTo(1_000);
    goTo(1_500);
    expect(ended).toEqual(['answered answered at 500', 'quick timeout at 1000', 'next timeout at 1500']);
    goTo(5_000);
    expect(ended.at(-1)).toBe('slow timeout at 5000');
    expect(timers.size).toBe(0);
    request('last', 1_000);
    rpc.linkClosed();
    expect(ended.at(-1)).toBe('last closed at 5000');
    expect(timers.size).toBe(0);
  });

  it('never call back inside the call that asks', async () => {
    const done = vi.fn();
    const { a, cut } = pair(1);
    cut.now = true;
    a.rpc.request(1, [], 1000, done);
    a.rpc.request(1, [], 1000, done);
    expect(done).not.toHaveBeenCalled();
    await turn();
    expect(done).toHaveBeenCalledTimes(2);
  });

  it('are refused when malformed, with nothing handed on', () => {
    const { a } = pair();
    for (const bytes of [[], [1, 0, 0, 0], [0x80, 0, 0, 0, 0], [127, 1, 0, 0, 0], [0xff, 0, 0, 0, 0]]) {
      expect(a.rpc.receive(Uint8Array.from(bytes))).toBe(false);
    }
    expect(a.requests.length + a.notices.length).toBe(0);
  });

  it('may be answered only once', async () => {
    const { a, b } = pair();
    const asked = ask(a.rpc, 1, '');
    await turn();
    const reply = b.requests[0]?.reply;
    reply?.(Buffer.alloc(0));
    expect(() => reply?.(Buffer.alloc(0))).toThrow('answered once');
    await asked;
  });
});
