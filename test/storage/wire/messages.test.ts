import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Membership } from '../../../storage/members/core/membership.ts';
import { branchName, epoch, lsn, mainBranch, nodeId, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { nodeLimits } from '../../../storage/redo/limits.ts';
import {
  decodeReply,
  decodeRequest,
  type EncodedMessage,
  encodeReply,
  encodeRequest,
} from '../../../storage/wire/core/message-codec.ts';
import { messageKinds } from '../../../storage/wire/core/message-schemas.ts';
import type { StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { scoped, unscoped } from '../../../storage/wire/core/scoped-message.ts';
import { fork, fromHex, hex, joinedBody } from '../samples.ts';

const forks = [fork(1, 0, 0), fork(7, 1, 2 ** 40)];
const bytes = new Uint8Array([1, 2, 3]);

const replacing: Membership = {
  epoch: 5,
  members: [{ node: nodeId('n1'), az: 'a', address: '[::1]:7001' }],
  joining: { out: nodeId('n1'), in: { node: nodeId('n7'), az: 'a', address: 'host:7' } },
};

const requests: readonly StorageRequest[] = [
  {
    kind: 'append',
    authority: epoch(9),
    durable: { head: epoch(7), vdl: lsn(2 ** 52) },
    lowWater: lsn(2 ** 33 + 5),
    frames: bytes,
  },
  {
    kind: 'append',
    authority: epoch(0xffff_ffff),
    durable: { head: epoch(0), vdl: lsn(0) },
    lowWater: lsn(0),
    frames: new Uint8Array(0),
  },
  { kind: 'seal', branch: mainBranch, epoch: epoch(3) },
  { kind: 'survey', authority: epoch(3), head: epoch(7), forks },
  { kind: 'fork', authority: epoch(3), forks },
  {
    kind: 'fetch',
    branch: mainBranch,
    head: null,
    from: lsn(2 ** 50),
    bytesMax: 1,
    waitMs: 0,
    durableOnly: true,
    known: { head: epoch(0), vdl: lsn(0) },
  },
  {
    kind: 'fetch',
    branch: mainBranch,
    head: epoch(7),
    from: lsn(0),
    bytesMax: nodeLimits.fetchBytesMax,
    waitMs: nodeLimits.fetchWaitMsMax,
    durableOnly: false,
    known: { head: epoch(7), vdl: lsn(5) },
  },
  { kind: 'readPages', head: epoch(7), readPoint: lsn(8), pages: [1, 5, 0xffff_fffe].map(pageNo) },
  { kind: 'status' },
  { kind: 'status', known: true },
  { kind: 'fetchImages', head: epoch(7), fromPage: pageNo(1), bytesMax: 4096 },
  { kind: 'locate', head: epoch(7), upTo: lsn(2 ** 50), atUs: 1_764_000_000_000_001 },
  { kind: 'locate', head: epoch(0), upTo: lsn(0), atUs: null },
  {
    kind: 'putImages',
    authority: epoch(9),
    head: epoch(7),
    at: { epoch: epoch(3), lsn: lsn(2 ** 50) },
    fromPage: pageNo(5),
    next: pageNo(10),
    pages: [5, 9].map(pageNo),
    bytes: new Uint8Array(2 * 4096).fill(7),
  },
  {
    kind: 'putImages',
    authority: epoch(9),
    head: epoch(7),
    at: { epoch: epoch(3), lsn: lsn(1) },
    fromPage: pageNo(1),
    next: null,
    pages: [],
    bytes: new Uint8Array(0),
  },
  {
    kind: 'retain',
    authority: epoch(7),
    head: epoch(7),
    keepFrom: lsn(2 ** 50),
    sinceUs: 1_700_000_000_000_000,
    bytesMax: 64 * 1024 * 1024,
    copies: lsn(5),
  },
  { kind: 'members', act: { act: 'tell' } },
  { kind: 'members', act: { act: 'prepare', epoch: 4, ballot: { round: 2, by: 'a' } } },
  {
    kind: 'members',
    act: { act: 'accept', vote: { ballot: { round: 2, by: 'a' }, membership: replacing } },
  },
  { kind: 'members', act: { act: 'install', membership: replacing } },
  { kind: 'retain', head: epoch(0), keepFrom: lsn(0), sinceUs: -1, bytesMax: null, copies: lsn(0) },
  {
    kind: 'retain',
    head: epoch(1),
    keepFrom: lsn(5),
    sinceUs: 1,
    bytesMax: null,
    copies: lsn(5),
    branches: { knownTo: epoch(9), live: [{ head: epoch(4), keepFrom: lsn(3) }] },
  },
];

const status: StorageReply = {
  kind: 'status',
  region: 'us-east-1',
  node: 'n1',
  az: 'az1',
  head: epoch(7),
  sealed: epoch(7),
  scl: lsn(9),
  vdl: lsn(3),
  pid: 17,
  startedAtMs: 1_700_000_000_000,
  logBytes: 4096,
};

const replies: readonly StorageReply[] = [
  {
    kind: 'acked',
    head: epoch(7),
    scls: [
      [pgId(0), lsn(0)],
      [pgId(0xffff_ffff), lsn(2 ** 52 + 1)],
    ],
  },
  { kind: 'acked', head: epoch(0), scls: [] },
  { kind: 'sealed', forks, fresh: true, empty: false },
  {
    kind: 'surveyed',
    volumeEnd: lsn(9),
    scls: [[pgId(2), lsn(9)]],
    vdl: lsn(3),
    chain: [
      [3, 9, 2, -1],
      [9, 12, 2, 12],
    ],
  },
  {
    kind: 'surveyed',
    volumeEnd: lsn(9),
    scls: [],
    vdl: lsn(9),
    chain: [],
    floor: { epoch: epoch(7), lsn: lsn(8) },
  },
  { kind: 'forked' },
  { kind: 'fetched', head: epoch(7), vdl: lsn(4), next: lsn(6), forks, frames: bytes },
  { kind: 'fetched', head: epoch(7), vdl: lsn(4), next: lsn(6), forks: [], frames: new Uint8Array(0) },
  { kind: 'pages', pages: [new Uint8Array(4096).fill(1), null, new Uint8Array(4096).fill(2)] },
  { kind: 'pages', pages: [] },
  { kind: 'refused', code: 'SEALED', reason: 'epoch 1 is fenced: “äöü”', sealed: epoch(2) },
  {
    kind: 'refused',
    code: 'BELOW_FLOOR',
    reason: 'gone',
    sealed: epoch(2),
    floor: { epoch: epoch(2), lsn: lsn(2 ** 50) },
  },
  { kind: 'refused', code: 'STALE_MEMBERS', reason: 'over', sealed: epoch(2), membership: replacing },
  {
    kind: 'members',
    granted: true,
    state: { current: replacing, promised: { round: 1, by: 'b' }, accepted: null },
    fresh: true,
    sealed: epoch(3),
    head: epoch(2),
    vdl: lsn(2 ** 50),
    end: lsn(7),
  },
  {
    kind: 'retained',
    head: epoch(7),
    images: lsn(5),
    floor: { epoch: epoch(1), lsn: lsn(4) },
    window: lsn(6),
    lowWater: lsn(7),
    logBytes: 100,
    imageBytes: 4096,
  },
  {
    kind: 'images',
    at: { epoch: epoch(3), lsn: lsn(2 ** 50) },
    pages: [5, 9].map(pageNo),
    next: pageNo(10),
    total: 12,
    bytes: new Uint8Array(2 * 4096).fill(7),
  },
  { kind: 'located', lsn: lsn(2 ** 50), commitTimeUs: 1_764_000_000_000_001 },
  { kind: 'located', lsn: lsn(0), commitTimeUs: null },
  { kind: 'imagesPut', next: pageNo(7), pages: 6, low: lsn(4), floor: null },
  { kind: 'imagesPut', next: null, pages: 0, low: null, floor: { epoch: epoch(2), lsn: lsn(5) } },
  status,
  { ...status, refill: { bytes: 4096, totalBytes: 8192, bytesPerSecond: 7 } },
  { ...status, logFiles: 3, sealedFiles: 2 },
  {
    ...status,
    branches: [
      {
        branch: branchName('dev'),
        head: epoch(4),
        sealed: epoch(5),
        vdl: lsn(7),
        scl: lsn(8),
        last: lsn(9),
        fresh: true,
      },
    ],
    known: { forks: [fork(4, 1, 5, branchName('dev'))], isWhole: false },
  },
];

describe('the membership epoch of a sender', () => {
  const { kind, body } = requestBytes({ kind: 'status' });
  it.each([1, 7, 0xffff_ffff])('%i stands in front of its request', (members) => {
    const sent = scoped(members, kind, body);
    expect(unscoped(sent.kind, joinedBody(sent.body))).toEqual({ members, kind, body });
  });

  it('is left out when it is that of the configuration, 0', () => {
    expect(scoped(0, kind, body)).toEqual({ kind, body });
    expect(unscoped(kind, body)).toEqual({ members: 0, kind, body });
  });

  it('is not read from fewer bytes than it takes', () => {
    expect(unscoped(scoped(1, kind, body).kind, new Uint8Array(4))).toBeNull();
  });
});

const wrong = (message: unknown) => (message as { kind: string }).kind === 'malformed';

describe('a message', () => {
  it.each(requests.map((request) => [request.kind, request] as const))('%s round-trips', (_, request) => {
    const { kind, body } = requestBytes(request);
    expect(decodeRequest(kind, body)).toEqual({ kind: 'message', message: request });
    // Wherever it lies in the buffer it arrived in.
    expect(decodeRequest(kind, new Uint8Array([9, ...body]).subarray(1))).toEqual({
      kind: 'message',
      message: request,
    });
  });

  it.each(replies.map((reply) => [reply.kind, reply] as const))('%s round-trips', (_, reply) => {
    const { kind, body } = encodeReply(reply);
    expect(decodeReply(kind, body)).toEqual({ kind: 'message', message: reply });
  });

  it('of every kind there is is among these', () => {
    const kinds = [...requests.map(requestBytes), ...replies.map(encodeReply)].map((message) => message.kind);
    const status = messageKinds.statusReply;
    expect(new Set([...kinds, status])).toEqual(new Set(Object.values(messageKinds)));
  });

  it('append has exactly these bytes', () => {
    const [append] = requests;
    if (append === undefined) throw new Error('no append');
    const { kind, body } = requestBytes(append);
    expect([kind, hex(body)]).toEqual([
      1,
      hex(fromHex('09000000 07000000 0000000000001000 0500000002000000 03000000 010203')),
    ]);
  });

  it('acked has exactly these bytes', () => {
    const [acked] = replies;
    if (acked === undefined) throw new Error('no acknowledgement');
    const { kind, body } = encodeReply(acked);
    expect([kind, hex(body)]).toEqual([
      65,
      hex(fromHex('07000000 0200 00000000 0000000000000000 ffffffff 0100000000001000')),
    ]);
  });

  it('seal is its JSON behind the length of that', () => {
    const { kind, body } = requestBytes({ kind: 'seal', branch: mainBranch, epoch: epoch(3) });
    const json = '{"kind":"seal","branch":"main","epoch":3}';
    expect([kind, hex(body)]).toEqual([2, `${json.length.toString(16)}000000${hex(Buffer.from(json))}`]);
  });
});

/** A request as it lies in a message. */
function requestBytes(request: StorageRequest): EncodedMessage<Uint8Array> {
  const { kind, body } = encodeRequest(request);
  return { kind, body: joinedBody(body) };
}

function json(kind: number, header: object): EncodedMessage<Uint8Array> {
  const text = Buffer.from(JSON.stringify(header));
  const body = Buffer.alloc(4 + text.length);
  body.writeUInt32LE(text.length);
  text.copy(body, 4);
  return { kind, body };
}

describe('a malformed message', () => {
  it.each([
    ['a branch that is no name', json(2, { kind: 'seal', branch: '../x', epoch: 3 })],
    ['an epoch beyond 32 bits', json(2, { kind: 'seal', branch: 'main', epoch: 2 ** 32 })],
    ['a negative epoch', json(2, { kind: 'seal', branch: 'main', epoch: -1 })],
    ['another kind inside', json(2, { kind: 'fork', authority: 1, forks: [] })],
    [
      'a fork of epoch 0',
      json(4, { kind: 'fork', authority: 1, forks: [{ epoch: 0, branch: 'main', parent: 0, forkLsn: 0 }] }),
    ],
    ['a page 0', json(6, { kind: 'readPages', head: 1, readPoint: 1, pages: [0] })],
    ['a page beyond 32 bits', json(6, { kind: 'readPages', head: 1, readPoint: 1, pages: [2 ** 32] })],
    [
      'too many pages',
      json(6, {
        kind: 'readPages',
        head: 1,
        readPoint: 1,
        pages: Array.from({ length: nodeLimits.readPagesMax + 1 }, () => 1),
      }),
    ],
    ['an unknown kind', json(99, {})],
    ['a reply where a request belongs', json(67, { kind: 'forked' })],
    ['a header that is no object', json(2, [])],
  ])('with %s is refused with a reason', (_, { kind, body }) => {
    const decoded = decodeRequest(kind, body);
    expect(decoded).toMatchObject({ kind: 'malformed', reason: expect.stringMatching(/\w/) });
  });

  it('with a fetch beyond its bounds is refused', () => {
    const good = {
      kind: 'fetch',
      branch: 'main',
      head: 1,
      from: 0,
      bytesMax: 1,
      waitMs: 0,
      durableOnly: false,
      known: { head: 1, vdl: 0 },
    };
    const decode = (more: object) => {
      const { kind, body } = json(5, { ...good, ...more });
      return decodeRequest(kind, body).kind;
    };
    expect(decode({})).toBe('message');
    for (const more of [
      { bytesMax: 0 },
      { bytesMax: nodeLimits.fetchBytesMax + 1 },
      { waitMs: nodeLimits.fetchWaitMsMax + 1 },
      { waitMs: -1 },
    ]) {
      expect(decode(more)).toBe('malformed');
    }
  });

  it('cut at any length, or longer than it says, is refused', () => {
    for (const { kind, body } of requests.map(requestBytes)) {
      for (let length = 0; length < body.length; length++)
        expect(decodeRequest(kind, body.subarray(0, length)).kind).toBe('malformed');
    }
    for (const { kind, body } of replies.map(encodeReply)) {
      // What follows a header is frames, of whatever length; their own checksums speak for them.
      const whole = kind === messageKinds.fetched ? 4 + Buffer.from(body).readUInt32LE() : body.length;
      for (let length = 0; length < whole; length++)
        expect(decodeReply(kind, body.subarray(0, length)).kind).toBe('malformed');
    }
    const [append] = requests;
    const [acked] = replies;
    if (append === undefined || acked === undefined) throw new Error('no messages');
    expect(decodeRequest(1, Buffer.concat([requestBytes(append).body, bytes])).kind).toBe('malformed');
    expect(decodeReply(65, Buffer.concat([encodeReply(acked).body, bytes])).kind).toBe('malformed');
  });

  it('with a position beyond 2^53 is refused', () => {
    const far = 'ffffffffffffffff';
    expect(wrong(decodeRequest(1, fromHex(`0100000001000000${far}000000000000000000000000`)))).toBe(true);
    expect(wrong(decodeRequest(1, fromHex(`01000000010000000000000000000000${far}00000000`)))).toBe(true);
    expect(wrong(decodeReply(65, fromHex(`01000000010000000000${far}`)))).toBe(true);
  });

  it('never makes a decoder throw', () => {
    const kinds = fc.constantFrom(...Object.values(messageKinds), 0, 200);
    const header = fc.oneof(
      fc.json(),
      fc
        .tuple(
          fc.constantFrom(...requests.map(requestBytes), ...replies.map(encodeReply)),
          fc.nat(),
          fc.integer({ min: 0, max: 255 }),
        )
        .map(([{ body }, at, value]) => {
          const damaged = Buffer.from(body);
          if (damaged.length > 0) damaged[at % Math.min(damaged.length, 200)] = value;
          return damaged.toString('latin1').slice(4);
        }),
    );
    const framed = header.map((text) => {
      const body = Buffer.from(text, 'latin1');
      const length = Buffer.alloc(4);
      length.writeUInt32LE(body.length);
      return Buffer.concat([length, body]);
    });
    fc.assert(
      fc.property(kinds, fc.oneof(fc.uint8Array({ maxLength: 80 }), framed), (kind, body) => {
        expect(['message', 'malformed']).toContain(decodeRequest(kind, body).kind);
        expect(['message', 'malformed']).toContain(decodeReply(kind, body).kind);
      }),
      { numRuns: 1500 },
    );
  });
});
