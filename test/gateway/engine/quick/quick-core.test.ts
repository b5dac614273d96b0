import { describe, expect, it } from 'vitest';
import { isQuickProgram, programMax } from '../../../../gateway/engine/quick/core/quick-program.ts';
import { QuickRedo, quickRedoLimits } from '../../../../gateway/engine/quick/core/quick-redo.ts';
import { QuickShare, quickCrowd, quickWindow } from '../../../../gateway/engine/quick/core/quick-share.ts';
import { QuickTexts, quickTextsLimits } from '../../../../gateway/engine/quick/core/quick-texts.ts';

const row = (opcode: string, p2 = 0n, p3 = 0n) => [0n, opcode, 0n, p2, p3, null, 0n, null];
const find = [
  row('Init'),
  row('Transaction'),
  row('OpenRead'),
  row('SeekRowid'),
  row('Column'),
  row('ResultRow'),
  row('Halt'),
];

describe('a program is quick', () => {
  it('when it finds rows by a key, or reads no table', () => {
    expect(isQuickProgram(find)).toBe(true);
    expect(isQuickProgram([row('Init'), row('Integer'), row('ResultRow'), row('Halt')])).toBe(true);
  });

  it.each([
    ['nothing is known of it', []],
    ['it reads a table from its beginning', [row('Init'), row('OpenRead'), row('Rewind'), row('Next')]],
    ['it reads a table and seeks nothing', [row('Init'), row('OpenRead'), row('Column')]],
    ['one of its operations may take long', [...find, row('Count')]],
    ['it calls a function', [...find, row('Function')]],
    ['it writes', [row('Init'), row('Transaction', 1n), ...find]],
    ['it reads what is a stream’s own', [...find, row('OpenRead', 1n, 1n)]],
    ['it is long', [...find, ...Array.from({ length: programMax }, () => row('Goto'))]],
  ])('not when %s', (_, program) => {
    expect(isQuickProgram(program)).toBe(false);
  });
});

describe('what is known of texts', () => {
  const come = (texts: QuickTexts, sql: string, times: number) =>
    Array.from({ length: times }, () => texts.next(sql)).at(-1);

  it('a text is proved once when it has come often enough, and runs then', () => {
    const texts = new QuickTexts();
    expect(come(texts, 'a', quickTextsLimits.proveAt - 1)).toBe('no');
    expect(texts.next('a')).toBe('prove');
    expect(texts.next('a')).toBe('no');
    texts.proved('a', true);
    expect(texts.next('a')).toBe('run');
  });

  it('a proof that could not be made is tried again, one that fails after a long time', () => {
    const texts = new QuickTexts();
    come(texts, 'a', quickTextsLimits.proveAt);
    texts.proved('a', null);
    expect(come(texts, 'a', quickTextsLimits.proveAt)).toBe('prove');
    texts.proved('a', false);
    expect(come(texts, 'a', quickTextsLimits.lookAgainAt - 1)).toBe('no');
    expect(texts.next('a')).toBe('prove');
  });

  it('a text that meets bounds again and again runs no more, one that rarely does goes on', () => {
    const texts = new QuickTexts();
    for (const sql of ['a', 'b']) {
      come(texts, sql, quickTextsLimits.proveAt);
      texts.proved(sql, true);
    }
    for (let times = 0; times <= quickTextsLimits.failures; times++) texts.failed('a');
    expect(texts.next('a')).toBe('no');
    for (let times = 0; times < 20; times++) {
      come(texts, 'b', quickTextsLimits.runsPerFailure);
      texts.failed('b');
    }
    expect(texts.next('b')).toBe('run');
  });

  it('no more texts are remembered than there may be', () => {
    const texts = new QuickTexts();
    come(texts, 'a', quickTextsLimits.proveAt);
    texts.proved('a', true);
    for (let other = 0; other < quickTextsLimits.texts; other++) texts.next(`other ${other}`);
    expect(texts.next('a')).toBe('no');
  });
});

describe('the share of a thread', () => {
  it('a few begin in one turn of the event loop, and none where a crowd reads on other threads', () => {
    const share = new QuickShare();
    const begun = () =>
      Array.from({ length: 2 * quickCrowd.inTurn }, () => share.allows(0, 0) && share.took(0, true));
    expect(begun().filter((first) => first)).toHaveLength(1);
    expect(share.allows(0, 0)).toBe(false);
    share.turned();
    expect(share.allows(0, quickCrowd.beside)).toBe(false);
    expect(share.allows(quickCrowd.restMs - 0.1, 0)).toBe(false);
    expect(share.allows(quickCrowd.restMs, quickCrowd.beside - 1)).toBe(true);
  });

  it('is spent within a window, and there again in the next (G132)', () => {
    const share = new QuickShare();
    expect(share.allows(0, 0)).toBe(true);
    share.took(quickWindow.shareMs, true);
    share.turned();
    expect(share.allows(quickWindow.lengthMs - 0.1, 0)).toBe(false);
    expect(share.allows(quickWindow.lengthMs, 0)).toBe(true);
  });

  it('is not wasted on pages that are not there', () => {
    const share = new QuickShare();
    const allowed = (times: number) =>
      Array.from({ length: times }, () => share.allows(0, 0)).filter(Boolean).length;
    for (let times = 0; times < 20; times++) share.took(0, false);
    share.turned();
    expect(allowed(80)).toBe(10);
    for (let times = 0; times < 20; times++) share.took(0, true);
    share.turned();
    expect(allowed(80)).toBe(80);
  });
});

describe('redo that waits', () => {
  it('is given out while it is little, in its order', () => {
    const redo = new QuickRedo();
    expect(redo.offer(Uint8Array.of(1), 0)).toBe(true);
    expect(redo.offer(Uint8Array.of(2), 0)).toBe(true);
    expect([...(redo.take() ?? [])]).toEqual([1, 2]);
    expect(redo.isEmpty).toBe(true);
  });

  it('is not folded while it is much, and not kept while it is more', () => {
    const redo = new QuickRedo();
    expect(redo.offer(new Uint8Array(quickRedoLimits.foldBytes + 1), 0)).toBe(true);
    expect(redo.take()).toBeNull();
    expect(redo.offer(new Uint8Array(quickRedoLimits.keptBytes), 0)).toBe(false);
  });

  it('is calm again a while after much was written', () => {
    const redo = new QuickRedo();
    redo.pass(quickRedoLimits.calmBytes + 1, 0);
    expect([0, 999, 1_000, 1_999].map((atMs) => redo.isCalm(atMs))).toEqual([false, false, false, false]);
    expect(redo.isCalm(2_000)).toBe(true);
  });
});
