import { describe, expect, test } from 'vitest';
import { isCarriedAlong, withPlainNames } from '../../../regions/packaging/core/plain-module.ts';

describe('a module of the package', () => {
  const files = new Set(['./a.ts', '../b/c.ts', './worker.ts', 'storage/main.ts']);
  const plain = (text: string): string => withPlainNames(text, (path) => files.has(path));

  test.each([
    ["import { a } from './a.ts';", "import { a } from './a.js';"],
    ["const { c } = await import('../b/c.ts');", "const { c } = await import('../b/c.js');"],
    [
      "new Worker(new URL('./worker.ts', import.meta.url));",
      "new Worker(new URL('./worker.js', import.meta.url));",
    ],
    ["fromRoot('storage/main.ts')", "fromRoot('storage/main.js')"],
    ['export * from "./a.ts";', 'export * from "./a.js";'],
  ])('names files of ours as they are called there: %s', (text, expected) => {
    expect(plain(text)).toBe(expected);
  });

  test.each(["import ts from './other.ts';", "path.endsWith('.ts')", 'see a.ts', "from 'typescript/lib.ts'"])(
    'leaves alone what is no file of ours: %s',
    (text) => {
      expect(plain(text)).toBe(text);
    },
  );
});

test('what is read or served as it is goes along, and pictures of the documents do not', () => {
  expect(['a.md', 'page/x.css', 'b.ts', 'c.png'].filter(isCarriedAlong)).toEqual(['a.md', 'page/x.css']);
});
