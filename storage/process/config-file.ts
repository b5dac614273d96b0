/**
 * Reading a configuration file, for every Sextant process: parsed once, strictly, and what is wrong is told with file, line,
 * column and key, and with what is allowed there. A process's own file holds its configuration as it is; a region's file
 * (`region/region-file.ts`) holds those of all its processes. Two values may come from the environment instead, so that a file can be
 * world-readable: `SEXTANT_SECRET` and `SEXTANT_NATS_TOKEN`.
 */
import { readFileSync, statSync } from 'node:fs';
import type { z } from 'zod';
import { type ConfigPath, type ConfigText, type Place, readConfigText } from './config-text.ts';

/** One thing that is wrong with a file. `key` is empty when it is the file as a whole. */
export interface ConfigProblem extends Partial<Place> {
  readonly file: string;
  readonly key: string;
  readonly message: string;
}

/** What loading answers: the parsed value, or every problem found, each in one line, ready to print. */
export type ConfigResult<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | {
      readonly kind: 'invalid';
      readonly message: string;
      readonly problems: readonly string[];
      readonly found: readonly ConfigProblem[];
    };

type Invalid = Extract<ConfigResult<never>, { kind: 'invalid' }>;

/** Something wrong at a path of a value. */
export interface PathProblem {
  readonly path: ConfigPath;
  readonly message: string;
}

/** One process's configuration made of a region's file. `origin` says where in that file a path of it comes from. */
export type Derivation =
  | { readonly kind: 'ok'; readonly config: object; origin(path: ConfigPath): ConfigPath }
  | { readonly kind: 'invalid'; readonly problems: readonly PathProblem[] };

/** How a process reads the file of a region. */
export interface RegionPart<Region> {
  /** As much of the file as the process's layer knows. */
  readonly schema: z.ZodType<Region>;
  derive(region: Region, file: string): Derivation;
}

/** A configuration file is small; more is none. */
const fileBytesMax = 1024 * 1024;

/** Environment variables that stand in for a key which the file leaves out. A value in the file wins. */
const fromEnvironment: readonly { readonly variable: string; readonly path: readonly string[] }[] = [
  { variable: 'SEXTANT_SECRET', path: ['secret'] },
  { variable: 'SEXTANT_NATS_TOKEN', path: ['nats', 'token'] },
];

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `value` with `fallback` at `path`, unless something stands there already or the objects on the way are missing. */
function withDefault(value: unknown, path: readonly string[], fallback: string): unknown {
  const [key, ...rest] = path;
  if (key === undefined || !isObject(value)) return value;
  if (rest.length === 0) return { ...value, [key]: value[key] ?? fallback };
  return key in value ? { ...value, [key]: withDefault(value[key], rest, fallback) } : value;
}

function describe(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type' && issue.input === undefined)
    return `missing; expected ${issue.expected}`;
  if (issue.code === 'invalid_type') return `expected ${issue.expected}`;
  return undefined;
}

/** A key that may be shown: in a damaged file a secret may stand where a key belongs. */
const shownKey = (key: string): string =>
  /^[A-Za-z][A-Za-z_-]{0,23}$/.test(key) ? key : `(not shown, ${key.length} characters)`;

const pathOf = (path: readonly PropertyKey[]): ConfigPath =>
  path.map((step) => (typeof step === 'number' ? step : String(step)));

/** Where the values of a parsed configuration stand in their file. */
interface Source {
  readonly file: string;
  readonly text?: ConfigText;
  readonly origin?: (path: ConfigPath) => ConfigPath;
}

function problemOf({ path, message }: PathProblem, { file, text, origin }: Source): ConfigProblem {
  const from = origin?.(path) ?? path;
  return { file, ...text?.placeOf(from), key: from.join('.'), message };
}

function problemsOf(issue: z.core.$ZodIssue, source: Source): readonly ConfigProblem[] {
  const path = pathOf(issue.path);
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((name) => {
      const { file, text, origin } = source;
      const from = [...(origin?.(path) ?? path), name];
      const key = [...from.slice(0, -1), shownKey(name)].join('.');
      return { file, ...text?.placeOfKey(from), key, message: `unknown key; ${issue.message}` };
    });
  const hint = fromEnvironment.find((entry) => entry.path.join('.') === path.join('.'));
  const missing = issue.message.startsWith('missing;');
  const message = `${issue.message}${hint !== undefined && missing ? ` (or set ${hint.variable})` : ''}`;
  return [problemOf({ path, message }, source)];
}

/** `file:line:column: key: what is wrong`, for a person and for an editor. */
export function showProblem({ file, line, column, key, message }: ConfigProblem): string {
  const place = line === undefined ? file : `${file}:${line}:${column}`;
  return `${place}: ${wordsOf(key, message)}`;
}

function wordsOf(key: string, message: string): string {
  if (message.startsWith('unknown key; '))
    return `unknown key ${key}; ${message.slice('unknown key; '.length)}`;
  return key === '' ? message : `${key}: ${message}`;
}

/** `found` as an answer. */
export function invalidConfig(found: readonly ConfigProblem[]): Invalid {
  return {
    kind: 'invalid',
    found,
    problems: found.map(({ key, message }) => wordsOf(key, message)),
    message: found.map(showProblem).join('\n'),
  };
}

function parseFrom<Schema extends z.ZodType>(
  value: unknown,
  source: Source,
  schema: Schema,
  environment: NodeJS.ProcessEnv,
): ConfigResult<z.output<Schema>> {
  let filled = value;
  for (const { variable, path } of fromEnvironment) {
    const fallback = environment[variable];
    if (fallback !== undefined && fallback !== '') filled = withDefault(filled, path, fallback);
  }
  const parsed = schema.safeParse(filled, { error: describe });
  if (parsed.success) return { kind: 'ok', value: parsed.data };
  return invalidConfig(parsed.error.issues.flatMap((issue) => problemsOf(issue, source)));
}

/**
 * Parses an already read configuration. `file` only names it in errors.
 * Only keys the schema knows are filled from the environment, so a storage node does not stumble over a NATS token.
 */
export function parseConfig<Schema extends z.ZodType>(
  value: unknown,
  file: string,
  schema: Schema,
  environment: NodeJS.ProcessEnv = process.env,
): ConfigResult<z.output<Schema>> {
  return parseFrom(value, { file }, schema, environment);
}

/** The file as text with places. Unreadable and malformed files are answers too. No answer quotes what stands in the file. */
function openConfig(file: string): ConfigText | Invalid {
  const invalid = (message: string, place: Partial<Place> = {}) =>
    invalidConfig([{ file, key: '', message, ...place }]);
  let text: string;
  try {
    const { size } = statSync(file);
    if (size > fileBytesMax)
      return invalid(`cannot be read (${size} bytes; a configuration has at most ${fileBytesMax})`);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return invalid(`cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
  const read = readConfigText(text);
  return read.kind === 'read' ? read : invalid(read.problem, read.place);
}

/** Reads, parses and checks the YAML or JSON file `file`, which holds what `schema` describes. */
export function loadConfig<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
  environment: NodeJS.ProcessEnv = process.env,
): ConfigResult<z.output<Schema>> {
  const text = openConfig(file);
  return text.kind === 'read' ? parseFrom(text.value, { file, text }, schema, environment) : text;
}

/** True for the content of a region's file; a process's own configuration has no such key. */
export const isRegionFile = (value: unknown): boolean => isObject(value) && 'version' in value;

/**
 * Reads a process's configuration out of `file`: its own, or the one of its region. `schema` is that of the process's own file,
 * and decides in both cases.
 */
export function loadProcessConfig<Schema extends z.ZodType, Region>(
  file: string,
  schema: Schema,
  part: RegionPart<Region>,
  environment: NodeJS.ProcessEnv = process.env,
): ConfigResult<z.output<Schema>> {
  const text = openConfig(file);
  if (text.kind !== 'read') return text;
  if (!isRegionFile(text.value)) return parseFrom(text.value, { file, text }, schema, environment);
  const region = parseFrom(text.value, { file, text }, part.schema, {});
  if (region.kind === 'invalid') return region;
  const derived = part.derive(region.value, file);
  if (derived.kind === 'invalid')
    return invalidConfig(derived.problems.map((problem) => problemOf(problem, { file, text })));
  return parseFrom(derived.config, { file, text, origin: derived.origin }, schema, environment);
}

/** Problems that were found at paths of `file`, with their places. */
export function placeProblems(file: string, problems: readonly PathProblem[]): readonly ConfigProblem[] {
  const text = openConfig(file);
  return text.kind === 'read' ? problems.map((problem) => problemOf(problem, { file, text })) : text.found;
}
