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

const isCore = (path: string): boolean => /^(storage|regions|gateway)\/core\//.test(path);
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
    return isCore(path) ? [] : [`${file.path} imports ${path}, which is not a core`];
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

/** Every file of a folder stands in its README's file map, and nothing that is not there does. */
export function fileMap(folder: string, readme: string, files: readonly string[]): readonly string[] {
  const own = files.filter((path) => path.startsWith(`${folder}/`) && !path.endsWith('README.md'));
  const missing = own
    .map((path) => path.slice(folder.length + 1))
    .filter((path) => !readme.includes(`\`${path}\``))
    .map((path) => `${folder}/README.md does not mention \`${path}\``);
  const listed = [...readme.matchAll(/^\|\s*`([\w./-]+\.(?:ts|html|css|json))`\s*\|/gm)].map(
    (match) => match[1] ?? '',
  );
  const gone = listed
    .filter((path) => !own.includes(`${folder}/${path}`))
    .map((path) => `${folder}/README.md lists \`${path}\`, which does not exist`);
  return [...missing, ...gone];
}

/** Numbered invariants are written down in the folder's README, and cited somewhere. */
export function invariants(letter: string, readme: string, cited: readonly SourceFile[]): readonly string[] {
  const pattern = new RegExp(`\\b${letter}(\\d{1,2})\\b`, 'g');
  const declared = new Set(
    [...readme.matchAll(new RegExp(`^(?:[-*|]\\s*)?\\*{0,2}(${letter}\\d{1,2})\\b`, 'gm'))].map(
      (match) => match[1],
    ),
  );
  const used = new Map<string, string>();
  for (const { path, text } of cited) {
    for (const match of text.matchAll(pattern)) used.set(match[0], path);
  }
  const undeclared = [...used]
    .filter(([name]) => !declared.has(name))
    .map(([name, path]) => `${path} cites ${name}, which no README declares`);
  const unused = [...declared]
    .filter((name) => name !== undefined && !used.has(name))
    .map((name) => `${name} is declared and nowhere cited`);
  return [...undeclared, ...unused];
}

export function topLevelLayout(entries: readonly string[]): readonly string[] {
  return entries
    .filter((entry) => !entry.startsWith('.') && entry !== 'node_modules' && !topLevel.has(entry))
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
