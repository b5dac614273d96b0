/** Whatever is done to files in pages is compared with a map of bytes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FileError } from '../../../../gateway/engine/postgres/core/file-error.ts';
import { rootIno } from '../../../../gateway/engine/postgres/core/inode-table.ts';
import { VolumeFiles } from '../../../../gateway/engine/postgres/core/volume-files.ts';
import { bytes, code, contentOf, directory, file, formatted } from './file-samples.ts';
import { FilesVolume, pageTroubles } from './files-volume.ts';

/** What a plain map knows of a file: its bytes. */
type Model = Map<string, Uint8Array | 'directory'>;
type Act =
  | { readonly kind: 'create' | 'mkdir' | 'unlink' | 'rmdir'; readonly path: string }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string }
  | {
      readonly kind: 'write';
      readonly path: string;
      readonly at: number;
      readonly length: number;
      readonly value: number;
    }
  | { readonly kind: 'truncate'; readonly path: string; readonly size: number }
  | { readonly kind: 'hold'; readonly path: string }
  | { readonly kind: 'release' }
  | { readonly kind: 'publish' }
  | { readonly kind: 'reopen' };

const paths = ['a', 'b', 'd', 'd/a', 'd/e', 'd/e/a', `d/${'long'.repeat(20)}`, 'd/f'];
// The inode points to the first 40,960 bytes, one page of pointers to those up to 4,235,264.
const edges = [0, 1, 4_095, 4_096, 8_192, 40_959, 40_960, 45_000, 4_235_263, 4_235_264, 4_300_000];
const path = fc.constantFrom(...paths);
const position = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...edges.slice(0, 8)) },
  fc.constantFrom(...edges),
);
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ kind: fc.constantFrom('create', 'create', 'mkdir', 'unlink', 'rmdir'), path }),
  fc.record({ kind: fc.constant('rename'), path, to: path }),
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('write'),
      path,
      at: position,
      length: fc.constantFrom(1, 100, 4_096, 8_192, 12_345),
      value: fc.nat(2),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('truncate'), path, size: position }) },
  fc.record({ kind: fc.constant('hold'), path }),
  fc.constantFrom<Act>({ kind: 'release' }, { kind: 'publish' }, { kind: 'publish' }, { kind: 'reopen' }),
);

const parentOf = (at: string): string => at.split('/').slice(0, -1).join('/');
const nameOf = (at: string): string => at.split('/').at(-1) ?? '';
const isIn = (model: Model, at: string): boolean => at === '' || model.get(at) === 'directory';
const childrenOf = (model: Model, at: string): readonly string[] =>
  [...model.keys()].filter((key) => key.startsWith(`${at}/`));

/** What the act does to the map. @returns whether it is one that can be done */
function inModel(model: Model, done: Act): boolean {
  if (!('path' in done)) return true;
  const now = model.get(done.path);
  switch (done.kind) {
    case 'create':
    case 'mkdir':
      if (now !== undefined || !isIn(model, parentOf(done.path))) return false;
      model.set(done.path, done.kind === 'mkdir' ? 'directory' : new Uint8Array(0));
      return true;
    case 'unlink':
      return now instanceof Uint8Array && model.delete(done.path);
    case 'rmdir':
      return now === 'directory' && childrenOf(model, done.path).length === 0 && model.delete(done.path);
    case 'rename': {
      if (now === undefined || !isIn(model, parentOf(done.to))) return false;
      if (done.path === done.to) return true;
      if (`${done.to}/`.startsWith(`${done.path}/`)) return false;
      const there = model.get(done.to);
      if (there !== undefined && (there === 'directory') !== (now === 'directory')) return false;
      if (childrenOf(model, done.to).length > 0) return false;
      const moved = [done.path, ...childrenOf(model, done.path)].map(
        (from) => [from, model.get(from)] as const,
      );
      for (const [from] of moved) model.delete(from);
      for (const [from, what] of moved)
        if (what !== undefined) model.set(done.to + from.slice(done.path.length), what);
      return true;
    }
    case 'write': {
      if (!(now instanceof Uint8Array)) return false;
      const grown = new Uint8Array(Math.max(now.length, done.at + done.length));
      grown.set(now);
      grown.fill(done.value, done.at, done.at + done.length);
      model.set(done.path, grown);
      return true;
    }
    case 'truncate': {
      if (!(now instanceof Uint8Array)) return false;
      const cut = new Uint8Array(done.size);
      cut.set(now.subarray(0, done.size));
      model.set(done.path, cut);
      return true;
    }
    default:
      return false;
  }
}

function inFiles(files: VolumeFiles, done: Act): void {
  if (!('path' in done)) return;
  const parent = files.resolve(parentOf(done.path));
  const name = nameOf(done.path);
  switch (done.kind) {
    case 'create':
      files.create(parent, name, file);
      return;
    case 'mkdir':
      files.create(parent, name, directory);
      return;
    case 'unlink':
      files.unlink(parent, name);
      return;
    case 'rmdir':
      files.removeDirectory(parent, name);
      return;
    case 'rename':
      files.rename(parent, name, files.resolve(parentOf(done.to)), nameOf(done.to));
      return;
    case 'truncate':
      files.truncate(files.lookup(parent, name), done.size);
      return;
    case 'write': {
      const ino = files.lookup(parent, name);
      if (files.stat(ino).mode !== file) throw new FileError('EISDIR', name);
      files.write(ino, bytes(done.length, done.value), 0, done.length, done.at);
      return;
    }
    default:
  }
}

function sameAs(files: VolumeFiles, model: Model): void {
  const found: string[] = [];
  const walk = (ino: number, at: string): void => {
    for (const name of files.list(ino)) {
      const below = at === '' ? name : `${at}/${name}`;
      found.push(below);
      if (model.get(below) === 'directory') walk(files.lookup(ino, name), below);
    }
  };
  walk(rootIno, '');
  expect(new Set(found)).toEqual(new Set(model.keys()));
  for (const [at, content] of model) {
    if (content === 'directory') continue;
    expect(Buffer.compare(contentOf(files, at), content)).toBe(0);
  }
}

describe('whatever is done', () => {
  test('files are what a map of bytes is, no page is used twice or lost (G80), and a set that is thrown away never was', () => {
    fc.assert(
      fc.property(fc.array(act, { minLength: 20, maxLength: 60, size: 'max' }), (acts) => {
        let { volume, files } = formatted();
        let model: Model = new Map();
        for (const at of ['a', 'b', 'd', 'd/a', 'd/e']) {
          const made: Act = { kind: at === 'd' || at === 'd/e' ? 'mkdir' : 'create', path: at };
          inModel(model, made);
          inFiles(files, made);
        }
        volume.publish();
        let held: number[] = [];
        let published: Model = new Map(model);
        for (const one of acts) {
          if (one.kind === 'hold') {
            if (!model.has(one.path)) continue;
            held.push(files.resolve(one.path));
            files.hold(held.at(-1) ?? 0);
          } else if (one.kind === 'release') {
            const ino = held.shift();
            if (ino !== undefined) files.release(ino);
          } else if (one.kind === 'publish') {
            volume.publish();
            published = new Map(model);
            expect(pageTroubles({ read: (page) => volume.stored.get(page) ?? null })).toEqual([]);
          } else if (one.kind === 'reopen') {
            volume = new FilesVolume(volume.image());
            files = new VolumeFiles(volume.set);
            held = [];
            model = new Map(published);
            sameAs(files, model);
          } else {
            const before = new Map(model);
            if (inModel(model, one)) inFiles(files, one);
            else {
              model = before;
              expect(code(() => inFiles(files, one))).not.toBe('done');
            }
          }
        }
        sameAs(files, model);
        expect(pageTroubles(volume.set)).toEqual([]);
        volume.publish();
        const again = new FilesVolume(volume.image());
        sameAs(new VolumeFiles(again.set), model);
        for (const ino of held) files.release(ino);
        expect(pageTroubles(volume.set)).toEqual([]);
      }),
      { numRuns: 60 },
    );
  }, 120_000);
});
