import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  coreIsPure,
  entersByTheDoor,
  fileLength,
  folderSize,
  importDirection,
  importsDependencies,
  invariants,
  leftoverMarkers,
  packagesBehind,
  type SourceFile,
  subjectCircles,
  subjectMap,
  testsCanFail,
  topLevelLayout,
  topSubjectOf,
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
const folders = ['telemetry', 'storage', 'regions', 'gateway', 'test'] as const;
const invariantsOf = { T: 'telemetry', S: 'storage', R: 'regions', G: 'gateway' } as const;
const rulesOnly = (file: SourceFile): boolean => !file.path.startsWith('test/tidy');

describe('the tree is tidy', () => {
  it('imports flow from telemetry to storage to regions to gateway', () => {
    expect(sources.flatMap(importDirection)).toEqual([]);
  });

  it('one layer enters another by its door', () => {
    expect(sources.flatMap(entersByTheDoor)).toEqual([]);
  });

  it('production files import only packages that an installation without development dependencies has', () => {
    const { dependencies } = JSON.parse(read('package.json'));
    expect(sources.flatMap((file) => importsDependencies(file, dependencies))).toEqual([]);
  });

  it.each([
    ['gateway/engine/thread/engine-worker.ts', '@sqlite.org/sqlite-wasm'],
    ['gateway/engine/postgres/backend/postgres-worker.ts', '@electric-sql/pglite'],
  ])(
    'the thread of an engine loads no package but its engine, since each loads all of its code anew: %s',
    (entry, engine) => {
      expect(packagesBehind(sources, entry)).toEqual([engine]);
    },
  );

  it('a gateway starts without what it needs for the first token only', () => {
    expect(packagesBehind(sources, 'gateway/process/launch/run-gateway.ts')).not.toContain('jose');
  });

  it('no subjects of a layer need each other', () => {
    expect(subjectCircles(sources)).toEqual([]);
    expect(subjectCircles(sources, topSubjectOf)).toEqual([]);
  });

  it('every folder can be seen at a glance', () => {
    expect(folderSize(paths)).toEqual([]);
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
    it(`the map of subjects in ${folder}/README.md is the folder`, () => {
      // What is below a folder of test/ stands where what it tests stands, or is mapped there.
      const own = folder === 'test' ? paths.map((path) => path.replace(/^(test\/[^/]+\/).*\//, '$1')) : paths;
      expect(subjectMap(folder, read(`${folder}/README.md`), own)).toEqual([]);
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
      importDirection(file('storage/log/core/a.ts', "import { b } from '../../../regions/core.ts';")),
    ).toHaveLength(1);
    expect(
      importDirection(file('regions/moves/core/b.ts', "import { a } from '../../../storage/core.ts';")),
    ).toEqual([]);
  });

  it('a core that looks at the clock, awaits, or imports a shell or a package', () => {
    expect(coreIsPure(file('storage/log/core/a.ts', 'const now = Date.now();'))).toHaveLength(1);
    expect(coreIsPure(file('storage/log/core/a.ts', 'async function f() {}'))).toHaveLength(1);
    expect(coreIsPure(file('storage/log/core/a.ts', "import { x } from '../x.ts';"))).toHaveLength(1);
    expect(coreIsPure(file('storage/log/core/a.ts', "import fs from 'node:fs';"))).toHaveLength(1);
    expect(
      coreIsPure(file('storage/log/core/a.ts', '// Date is an argument\nconst a = "process.env";')),
    ).toEqual([]);
  });

  it('a marker, a long file, a skipped test, a stray top-level entry', () => {
    expect(leftoverMarkers(file('storage/log/core/a.ts', `// ${'TO'}${'DO'} later`))).toHaveLength(1);
    expect(fileLength(file('storage/log/core/a.ts', 'x\n'.repeat(600)))).toHaveLength(1);
    expect(testsCanFail(file('test/a.test.ts', `it.${'only'}('x', () => {});`))).toHaveLength(1);
    expect(topLevelLayout(['notes.txt', 'README.md', '.git'])).toEqual([
      'notes.txt is not part of the layout',
    ]);
  });

  it('a subject missing from its map, or mapped and missing', () => {
    const readme = '| `log/` | one |\n| `gone/` | two |';
    expect(
      subjectMap('storage', readme, ['storage/log/a.ts', 'storage/wire/core/b.ts', 'storage/c.ts']),
    ).toEqual([
      'storage/README.md does not list `wire/`',
      'storage/README.md lists `gone/`, which does not exist',
    ]);
  });

  it('a way past the door', () => {
    const imports = (specifier: string) =>
      entersByTheDoor(file('regions/moves/a.ts', `import { b } from '${specifier}';`));
    expect(imports('../../storage/redo/ids.ts')).toHaveLength(1);
    expect(
      ['../../storage/index.ts', '../../storage/core.ts', '../bus/b.ts', 'zod'].flatMap(imports),
    ).toEqual([]);
  });

  it('a package that is loaded by way of another file, and none of which only types are used', () => {
    const files = [
      file('gateway/sql/a.ts', "import { b } from '../../storage/core.ts';\nimport type { D } from 'd';"),
      file('storage/core.ts', "export { c } from './c.ts';"),
      file('storage/c.ts', "import { z } from 'zod';"),
    ];
    expect(packagesBehind(files, 'gateway/sql/a.ts')).toEqual(['zod']);
  });

  it('a package of the development dependencies in a production file', () => {
    const imports = (path: string, text: string) =>
      importsDependencies(file(path, text), { '@a/b': '1.0.0' });
    expect(imports('regions/cli/a.ts', "import { c } from 'c';")).toEqual([
      'regions/cli/a.ts imports c, and c is not in the dependencies of package.json',
    ]);
    expect(imports('regions/cli/a.ts', "const { c } = await import('@a/c/d');")).toHaveLength(1);
    expect(imports('regions/cli/a.ts', "import '@a/b/c'; import 'node:fs'; import './d.ts';")).toEqual([]);
    expect(imports('test/a.ts', "import { c } from 'c';")).toEqual([]);
  });

  it('subjects that need each other, by way of a third', () => {
    const circle = [
      file('storage/log/a.ts', "import { b } from '../wire/b.ts';"),
      file('storage/wire/b.ts', "import { c } from '../node/core/c.ts';"),
      file('storage/node/core/c.ts', "import { a } from '../../log/a.ts';"),
      file('storage/redo/d.ts', "import { a } from '../log/a.ts';"),
    ];
    expect(subjectCircles(circle)).toHaveLength(3);
    expect(subjectCircles(circle.slice(1))).toEqual([]);
  });

  it('a folder too full', () => {
    const paths = Array.from({ length: 17 }, (_, at) => `storage/log/${at}.ts`);
    expect(folderSize(paths)).toHaveLength(1);
    expect(folderSize(paths.slice(1))).toEqual([]);
  });

  it('an invariant cited and not declared, declared and not cited, or declared twice', () => {
    const problems = invariants('S', '- **S1** one\n- **S2** two\n- **S103** three\n- **S1** four', [
      file('storage/log/core/a.ts', '// S1, S3, S103 and S104'),
    ]);
    expect(problems).toHaveLength(4);
  });
});
