import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  coreIsPure,
  fileLength,
  fileMap,
  importDirection,
  invariants,
  leftoverMarkers,
  type SourceFile,
  testsCanFail,
  topLevelLayout,
} from './tidy/rules.ts';

const root = join(import.meta.dirname, '..');
const paths = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => /^(telemetry|storage|regions|gateway|test)\//.test(path));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const sources: readonly SourceFile[] = paths
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path, text: read(path) }));
const folders = [
  'telemetry',
  'storage',
  'regions',
  'gateway',
  'test',
  'test/simulation',
  'test/bench',
  'test/clients',
];
const invariantsOf = { T: 'telemetry', S: 'storage', R: 'regions', G: 'gateway' } as const;
const rulesOnly = (file: SourceFile): boolean => !file.path.startsWith('test/tidy');

describe('the tree is tidy', () => {
  it('imports flow from telemetry to storage to regions to gateway', () => {
    expect(sources.flatMap(importDirection)).toEqual([]);
  });

  it('cores are pure', () => {
    expect(sources.flatMap(coreIsPure)).toEqual([]);
  });

  it('nothing is left for later in a comment', () => {
    expect(sources.filter(rulesOnly).flatMap(leftoverMarkers)).toEqual([]);
  });

  it('no file holds more than one idea can fill', () => {
    expect(sources.flatMap(fileLength)).toEqual([]);
  });

  it('no test is skipped or cannot fail', () => {
    expect(sources.filter(rulesOnly).flatMap(testsCanFail)).toEqual([]);
  });

  it('the top level is the agreed layout', () => {
    expect(topLevelLayout(readdirSync(root))).toEqual([]);
  });

  for (const folder of folders) {
    it(`the file map of ${folder}/README.md is the folder`, () => {
      // A folder below with a README of its own keeps its own map.
      const below = paths.filter(
        (path) =>
          path.startsWith(`${folder}/`) && path.endsWith('/README.md') && path !== `${folder}/README.md`,
      );
      const mappedElsewhere = (path: string) =>
        below.some((readme) => path.startsWith(readme.slice(0, -'README.md'.length)));
      const suites = (path: string) => folder === 'test' && path.endsWith('.test.ts');
      const own = paths.filter((path) => !mappedElsewhere(path) && !suites(path));
      expect(fileMap(folder, read(`${folder}/README.md`), own)).toEqual([]);
    });
  }

  for (const [letter, folder] of Object.entries(invariantsOf)) {
    it(`every invariant ${letter}… is declared in ${folder}/README.md and cited in code or tests`, () => {
      const cited = sources.filter(
        (file) =>
          rulesOnly(file) && (file.path.startsWith(`${folder}/`) || file.path.startsWith(`test/${folder}/`)),
      );
      expect(invariants(letter, read(`${folder}/README.md`), cited)).toEqual([]);
    });
  }
});

describe('each rule sees a planted violation', () => {
  const file = (path: string, text: string): SourceFile => ({ path, text });

  it('an import against the flow', () => {
    expect(
      importDirection(file('storage/core/a.ts', "import { b } from '../../regions/core/b.ts';")),
    ).toHaveLength(1);
    expect(
      importDirection(file('regions/core/b.ts', "import { a } from '../../storage/core/a.ts';")),
    ).toEqual([]);
  });

  it('a core that looks at the clock, awaits, or imports a shell or a package', () => {
    expect(coreIsPure(file('storage/core/a.ts', 'const now = Date.now();'))).toHaveLength(1);
    expect(coreIsPure(file('storage/core/a.ts', 'async function f() {}'))).toHaveLength(1);
    expect(coreIsPure(file('storage/core/a.ts', "import { x } from '../shell/x.ts';"))).toHaveLength(1);
    expect(coreIsPure(file('storage/core/a.ts', "import fs from 'node:fs';"))).toHaveLength(1);
    expect(coreIsPure(file('storage/core/a.ts', '// Date is an argument\nconst a = "process.env";'))).toEqual(
      [],
    );
  });

  it('a marker, a long file, a skipped test, a stray top-level entry', () => {
    expect(leftoverMarkers(file('storage/core/a.ts', `// ${'TO'}${'DO'} later`))).toHaveLength(1);
    expect(fileLength(file('storage/core/a.ts', 'x\n'.repeat(600)))).toHaveLength(1);
    expect(testsCanFail(file('test/a.test.ts', `it.${'only'}('x', () => {});`))).toHaveLength(1);
    expect(topLevelLayout(['notes.txt', 'README.md', '.git'])).toEqual([
      'notes.txt is not part of the layout',
    ]);
  });

  it('a file missing from its map, or mapped and missing', () => {
    const readme = '| `core/a.ts` | one |\n| `core/gone.ts` | two |';
    expect(fileMap('storage', readme, ['storage/core/a.ts', 'storage/core/b.ts'])).toHaveLength(2);
  });

  it('an invariant cited and not declared, or declared and not cited', () => {
    const problems = invariants('S', '- **S1** one\n- **S2** two', [
      file('storage/core/a.ts', '// S1 and S3'),
    ]);
    expect(problems).toHaveLength(2);
  });
});
