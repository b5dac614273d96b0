/** What commands print: tables, colours only where they are wanted, and errors that end the command with exit code 1. */
import { styleText } from 'node:util';

/** Ends a command with exit code 1 and this message. `code` is the gateway's error code, when it gave one. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: string | undefined;

  constructor(message: string, code?: string) {
    super(message);
    this.code = code;
  }
}

type Style = Parameters<typeof styleText>[0];

/** `text` in a style; plain when stdout is not a terminal or NO_COLOR is set. */
export const paint = (style: Style, text: string): string =>
  styleText(style, text, { stream: process.stdout });

export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2));
}

/** Told to the user beside the result: on stderr, so that stdout stays what was asked for. */
export function note(line: string): void {
  console.error(styleText('dim', line, { stream: process.stderr }));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one.
const escapes = /\u001b\[[0-9;]*m/g;
const widthOf = (text: string): number => [...text.replace(escapes, '')].length;

/** Rows under headings, columns aligned; numbers are the caller's to format. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(widthOf(heading), ...rows.map((row) => widthOf(row[column] ?? ''))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell))))
      .join('  ')
      .trimEnd();
  return [paint('bold', line(headings)), ...rows.map(line)].join('\n');
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1536` as `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < byteUnits.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${byteUnits[unit] ?? 'B'}`;
}

/** `64MiB`, `10 GiB`, `1000` as bytes; null when it is not a size. */
export function parseBytes(text: string): number | null {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]i)?B?\s*$/i.exec(text);
  if (found === null) return null;
  const unit = byteUnits.findIndex((name) => name.toLowerCase() === `${found[2] ?? ''}b`.toLowerCase());
  return Math.round(Number(found[1]) * 1024 ** Math.max(0, unit));
}

/** `1234` as `1.23 s`, `12.3` as `12 ms`. */
export function formatMs(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${(ms / 1_000).toFixed(2)} s` : `${(ms / 60_000).toFixed(1)} min`;
}
