/**
 * The rules of this repository that a program can check. Each takes what is in the tree and answers what is wrong, so
 * that the tests can show it a planted violation.
 */
export interface SourceFile {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** Imports flow this way: a folder may import itself and those before it. */
const layers = ['telemetry', 'storage', 'regions', 'gateway', 'test'] as const;

const topLevel = new Set([
  ...layers,
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'biome.json',
  'findings',
  'README.md',
  'LICENSE',
]);

const importPattern = /(?:\bfrom\s+|\bimport\s*\(?\s*)'([^'\n]+)'/g;

function importsOf(file: SourceFile): readonly string[] {
  return [...file.text.matchAll(importPattern)].map((match) => match[1] ?? '');
}

/** The repository path an import leads to; null for a package. */
function target(file: SourceFile, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  const parts = file.path.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

const layerOf = (path: string): number => layers.findIndex((layer) => path.startsWith(`${layer}/`));

/** telemetry ← storage ← regions ← gateway. */
export function importDirection(file: SourceFile): readonly string[] {
  const own = layerOf(file.path);
  return importsOf(file).flatMap((specifier) => {
    const path = target(file, specifier);
    if (path === null || layerOf(path) <= own) return [];
    return [`${file.path} imports ${path}, which lies further along telemetry ← storage ← regions ← gateway`];
  });
}

/** The package of a specifier, without the path inside it; null for a file or what Node.js brings. */
function packageOf(specifier: string): string | null {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return null;
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** What runs in production needs nothing that `npm ci --omit=dev` leaves out. */
export function importsDependencies(
  file: SourceFile,
  dependencies: Readonly<Record<string, string>>,
): readonly string[] {
  if (file.path.startsWith('test/')) return [];
  return importsOf(file).flatMap((specifier) => {
    const name = packageOf(specifier);
    return name === null || Object.hasOwn(dependencies, name)
      ? []
      : [`${file.path} imports ${specifier}, and ${name} is not in the dependencies of package.json`];
  });
}

/** Subjects without any I/O have no `core/` inside. */
const pureSubjects = ['storage/redo/', 'storage/history/', 'gateway/sql/'] as const;
const isCore = (path: string): boolean =>
  /^(storage|regions|gateway)\/(.*\/core\/|core\.ts$)/.test(path) ||
  path === 'storage/redo.ts' ||
  pureSubjects.some((subject) => path.startsWith(subject));

/** Apart, so that others load less: what threads need of storage, and what commands need of a node that does not run. */
const sideDoors: readonly string[] = ['storage/redo.ts', 'storage/data.ts'];
/** A layer has one door, `index.ts`; `core.ts` is its pure half. */
const isDoor = (path: string): boolean => /^[a-z]+\/(index|core)\.ts$/.test(path) || sideDoors.includes(path);

/** From one layer to another one goes through the door; tests look behind it. */
export function entersByTheDoor(file: SourceFile): readonly string[] {
  if (file.path.startsWith('test/')) return [];
  return importsOf(file).flatMap((specifier) => {
    const path = target(file, specifier);
    if (path === null || layerOf(path) === layerOf(file.path) || isDoor(path) || !path.endsWith('.ts'))
      return [];
    const layer = layers[layerOf(path)];
    return [`${file.path} imports ${path}, which is behind the door ${layer}/index.ts`];
  });
}

/** What a file loads of packages, by way of whatever it imports. Types are not loaded, and what `import()` names is only later. */
export function packagesBehind(files: readonly SourceFile[], entry: string): readonly string[] {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  const packages = new Set<string>();
  const seen = new Set<string>();
  const look = (path: string): void => {
    const text = texts.get(path);
    if (text === undefined || seen.has(path)) return;
    seen.add(path);
    const file = { path, text: text.replace(/^(?:import|export) type [^;]*;|\bimport\([^)]*\)/gm, '') };
    for (const specifier of importsOf(file)) {
      const inside = target(file, specifier);
      const name = inside === null ? packageOf(specifier) : null;
      if (name !== null) packages.add(name);
      else if (inside !== null) look(inside);
    }
  };
  look(entry);
  return [...packages].sort();
}

/** The subject of a file: its folder, where `core/` is a part of its subject. */
const folderOf = (path: string): string => path.replace(/\/(core\/)?[^/]+$/, '');

/** The folder of a layer in which a file lies, however deep. */
export const topSubjectOf = (path: string): string => path.split('/').slice(0, 2).join('/');

/**
 * No subject of a layer needs one that needs it. @param subjectOf the subject of a path: its folder, or the folder of its layer.
 * @returns one line for each arrow that is part of a circle
 */
export function subjectCircles(
  files: readonly SourceFile[],
  subjectOf: (path: string) => string = folderOf,
): readonly string[] {
  const needs = new Map<string, Map<string, string>>();
  for (const file of files) {
    if (file.path.startsWith('test/') || isDoor(file.path)) continue;
    for (const specifier of importsOf(file)) {
      const path = target(file, specifier);
      if (path === null || layerOf(path) !== layerOf(file.path)) continue;
      const [from, to] = [subjectOf(file.path), subjectOf(path)];
      if (from === to) continue;
      const arrows = needs.get(from) ?? new Map<string, string>();
      needs.set(from, arrows.set(to, `${file.path} imports ${path}`));
    }
  }
  const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
    [...(needs.get(from)?.keys() ?? [])].some((next) => {
      if (next === to) return true;
      if (seen.has(next)) return false;
      seen.add(next);
      return reaches(next, to, seen);
    });
  return [...needs].flatMap(([from, arrows]) =>
    [...arrows].flatMap(([to, how]) => (reaches(to, from) ? [`${from} ⇄ ${to}: ${how}`] : [])),
  );
}

/** So many files are seen at a glance. */
const filesMax = 16;

export function folderSize(paths: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const path of paths) {
    const folder = path.replace(/\/[^/]+$/, '');
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, count]) => count > filesMax)
    .map(([folder, count]) => `${folder} holds ${count} files; more than ${filesMax} are several subjects`);
}
const corePackages = new Set(['node:assert', 'node:assert/strict', 'node:zlib', 'zod']);
const impure: readonly (readonly [RegExp, string])[] = [
  [/\bDate\b/, 'take the time as an argument instead of Date'],
  [/\bperformance\b/, 'take the time as an argument instead of performance'],
  [/Math\.random/, 'take chance as an argument instead of Math.random'],
  [/\bset(Timeout|Interval|Immediate)\b/, 'emit an effect instead of starting a timer'],
  [/\bprocess\.\w/, 'a core does not know its process'],
  [/\basync\b|\bawait\b|\bnew Promise\b/, 'a core is synchronous: emit an effect'],
];

/** Comments and string literals may say what they like. */
function codeOf(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\/\/.*$/gm, '')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, "''");
}

/** A core is pure: no I/O, time, chance or promise, and only packages that have none either. */
export function coreIsPure(file: SourceFile): readonly string[] {
  if (!isCore(file.path)) return [];
  const problems = importsOf(file).flatMap((specifier) => {
    const path = target(file, specifier);
    if (path === null) return corePackages.has(specifier) ? [] : [`${file.path} imports ${specifier}`];
    const pure = isCore(path) || path === 'telemetry/core.ts';
    return pure ? [] : [`${file.path} imports ${path}, which is not a core`];
  });
  const code = codeOf(file.text);
  for (const [pattern, advice] of impure) if (pattern.test(code)) problems.push(`${file.path}: ${advice}`);
  return problems;
}

/** Written so that this file does not find itself. */
const markers = ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'];

/** What is unfinished goes into an issue, not into a comment. */
export function leftoverMarkers(file: SourceFile): readonly string[] {
  return markers
    .filter((marker) => new RegExp(`\\b${marker}\\b`).test(file.text))
    .map((marker) => `${file.path} holds ${marker}`);
}

/** A suite of tests is one idea, however long. */
const linesMaxOf = (path: string): number => (path.startsWith('test/') ? 900 : 500);

export function fileLength(file: SourceFile): readonly string[] {
  const lines = file.text.split('\n').length;
  const linesMax = linesMaxOf(file.path);
  return lines > linesMax
    ? [`${file.path} has ${lines} lines; more than ${linesMax} hold more than one idea`]
    : [];
}

/** Every folder of a layer stands in its README's map of subjects, and nothing that is not there does. */
export function subjectMap(folder: string, readme: string, files: readonly string[]): readonly string[] {
  const inside = files
    .filter((path) => path.startsWith(`${folder}/`))
    .map((path) => path.slice(folder.length + 1))
    .filter((path) => path.includes('/'));
  const own = new Set(inside.map((path) => path.replace(/(\/core)?\/[^/]+$/, '/')));
  const listed = [...readme.matchAll(/^\|\s*`([\w./-]+\/)`\s*\|/gm)].map((match) => match[1] ?? '');
  const missing = [...own]
    .filter((subject) => !listed.includes(subject))
    .map((subject) => `${folder}/README.md does not list \`${subject}\``);
  const gone = listed
    .filter((subject) => !inside.some((path) => path.startsWith(subject)))
    .map((subject) => `${folder}/README.md lists \`${subject}\`, which does not exist`);
  return [...missing, ...gone];
}

/** Numbered invariants are written down in the folder's README, each number once, and cited somewhere. */
export function invariants(letter: string, readme: string, cited: readonly SourceFile[]): readonly string[] {
  const pattern = new RegExp(`\\b${letter}(\\d{1,3})\\b`, 'g');
  const declarations = [
    ...readme.matchAll(new RegExp(`^(?:[-*|]\\s*)?\\*{0,2}(${letter}\\d{1,3})\\b`, 'gm')),
  ].flatMap((match) => match[1] ?? []);
  const declared = new Set(declarations);
  const used = new Map<string, string>();
  for (const { path, text } of cited) {
    for (const match of text.matchAll(pattern)) used.set(match[0], path);
  }
  const undeclared = [...used]
    .filter(([name]) => !declared.has(name))
    .map(([name, path]) => `${path} cites ${name}, which no README declares`);
  const unused = [...declared]
    .filter((name) => !used.has(name))
    .map((name) => `${name} is declared and nowhere cited`);
  const twice = declarations
    .filter((name, at) => declarations.indexOf(name) < at)
    .map((name) => `${name} is declared twice`);
  return [...undeclared, ...unused, ...twice];
}

export function topLevelLayout(entries: readonly string[]): readonly string[] {
  const made = ['node_modules', 'dist'];
  return entries
    .filter((entry) => !entry.startsWith('.') && !made.includes(entry) && !topLevel.has(entry))
    .map((entry) => `${entry} is not part of the layout`);
}

/** Assertions that can never be false prove nothing. */
export function testsCanFail(file: SourceFile): readonly string[] {
  if (!file.path.endsWith('.test.ts')) return [];
  const problems: string[] = [];
  if (/\b(?:it|test|describe)\.(?:only|skip)\(/.test(file.text))
    problems.push(`${file.path} skips or singles out a test`);
  if (/expect\((?:true|false|1)\)/.test(file.text)) problems.push(`${file.path} expects a literal`);
  return problems;
}
