/** `sextant import` and `sextant export`: a database as a SQLite file or as SQL text, in and out. */
import type { Command } from 'commander';
import { exportFile } from '../../transfer/export-file.ts';
import type { ReadPoint } from '../../transfer/export-pages.ts';
import { Importer } from '../../transfer/import-file.ts';
import { checkTarget } from '../../transfer/import-target.ts';
import { openSource } from '../../transfer/source-file.ts';
import { SqlLink } from '../../transfer/sql-link.ts';
import { survey } from '../../transfer/survey.ts';
import { gatewayOf, targetOf } from '../ask/admin-client.ts';
import { endOnSignal } from '../ask/long-command.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, formatBytes, formatMs } from '../ask/output.ts';
import { needsSqlite } from '../ask/postgres-place.ts';
import { TransferProgress } from './transfer-progress.ts';

type ImportOptions = AskOptions & { readonly intoExisting?: boolean };
type ExportOptions = AskOptions & { readonly format?: string; readonly force?: boolean };

async function linkTo(region: string, options: AskOptions, command: string): Promise<SqlLink> {
  const target = targetOf(options);
  const gateway = await gatewayOf(target, region);
  await needsSqlite(target, region, gateway, `${command} is about SQLite files`, byPostgres);
  return new SqlLink(gateway, target.clientToken);
}

const byPostgres = (url: string): string =>
  `pg_dump (of PostgreSQL 18) takes data out and psql brings it in, at '${url}'`;

const onStdout = (line: object): void => console.log(JSON.stringify(line));
const onStderr = (line: object): void => console.error(JSON.stringify(line));
const perSecond = (bytes: number, ms: number): string =>
  `${formatBytes(Math.round((bytes * 1_000) / Math.max(ms, 1)))}/s`;
const rounded = (ms: number): number => Math.round(ms);

async function importInto(region: string, file: string, options: ImportOptions): Promise<void> {
  const json = options.json === true ? onStdout : null;
  const link = await linkTo(region, options, 'import');
  await checkTarget(link, options.intoExisting === true);
  const progress = new TransferProgress(json);
  endOnSignal(() => progress.say('stopped: the same command goes on where the import stands'));
  const source = await openSource(file, (what, bytes, ofBytes) =>
    progress.show(what, { what: '', bytes, ofBytes: ofBytes ?? 0, rows: null, ofRows: null }),
  );
  try {
    const schema = survey(source.db, (name) =>
      progress.show('counting', { what: name, bytes: 0, ofBytes: 0, rows: null, ofRows: null }),
    );
    for (const text of schema.notes) progress.say(text);
    const importer = new Importer(
      source.db,
      schema,
      link,
      { intoExisting: options.intoExisting === true },
      {
        progress: ({ phase, ...sight }) => progress.show(phase, sight),
        note: (text) => progress.say(text),
      },
    );
    const result = await importer.run();
    progress.end();
    const { tables, rows, bytes, transactions, resumedAt } = result;
    const ms = progress.elapsedMs;
    if (json !== null)
      json({ event: 'done', kind: source.kind, ...result, elapsedMs: rounded(ms), notes: schema.notes });
    else
      console.log(
        `imported ${file === '-' ? 'the text' : file} (${source.kind}) into ${region}: ${tables} ${tables === 1 ? 'table' : 'tables'}, ${rows} ${rows === 1 ? 'row' : 'rows'}, ${formatBytes(bytes)} of values in ${formatMs(ms)} (${perSecond(bytes, ms)}), ${transactions} ${transactions === 1 ? 'transaction' : 'transactions'}${resumedAt === null ? '' : ', going on with an import that had been cut off'}`,
      );
  } finally {
    progress.end();
    source.close();
  }
}

const shownPoint = ({ lsn, committedAt }: ReadPoint): string =>
  `LSN ${lsn}${committedAt === null ? '' : `, whose newest commit was made at ${committedAt}`}`;

async function exportFrom(region: string, file: string, options: ExportOptions): Promise<void> {
  const format = options.format ?? (file === '-' ? 'sql' : 'sqlite');
  if (format !== 'sqlite' && format !== 'sql') throw new CliError(`--format is sqlite or sql, not ${format}`);
  const json = options.json !== true ? null : file === '-' ? onStderr : onStdout;
  const link = await linkTo(region, options, 'export');
  const progress = new TransferProgress(json);
  const left = file === '-' ? 'the text is not whole' : `${file} has not been written`;
  endOnSignal(() => progress.say(`stopped: ${left}`));
  const readAt = new Date().toISOString();
  let total = 0;
  try {
    const point = await exportFile(
      link,
      { to: file, format, force: options.force === true },
      {
        begun: (readPoint) => progress.say(`reading at ${shownPoint(readPoint)}`),
        progress: ({ bytes, ofBytes }) => {
          total = ofBytes;
          progress.show('copying', { what: '', bytes, ofBytes, rows: null, ofRows: null });
        },
        local: (what, rows, ofRows) =>
          progress.show(what, { what: '', bytes: 0, ofBytes: 0, rows: ofRows === 0 ? null : rows, ofRows }),
        note: (text) => progress.say(text),
      },
    );
    progress.end();
    const ms = progress.elapsedMs;
    if (json !== null)
      json({
        event: 'done',
        format,
        bytes: total,
        lsn: point.lsn,
        committedAt: point.committedAt,
        readAt,
        elapsedMs: rounded(ms),
      });
    else if (file !== '-')
      console.log(
        `exported ${region} to ${file} (${format === 'sqlite' ? 'SQLite file' : 'SQL text'}): ${formatBytes(total)} of pages in ${formatMs(ms)} (${perSecond(total, ms)}), as of ${shownPoint(point)}; every write acknowledged before ${readAt} is in it`,
      );
  } finally {
    progress.end();
  }
}

export function addTransferCommands(program: Command): void {
  withExample(
    withAsk(program.command('import <region> <file>'))
      .description(
        'bring a SQLite file or SQL text (.dump; - reads stdin; also compressed by gzip) into the database',
      )
      .option(
        '--into-existing',
        'add to a database that is not empty; no name in the file may be taken there',
      )
      .action(importInto),
    'sextant import us-east-1 app.db',
    'sqlite3 app.db .dump | sextant import us-east-1 -',
  );
  withExample(
    withAsk(program.command('export <region> <file>'))
      .description(
        'write the database to a SQLite file, or as SQL text (- writes that to stdout), as it is at one moment',
      )
      .option('--format <format>', 'sqlite or sql (default: sqlite; sql for -)')
      .option('--force', 'replace the file if it exists')
      .action(exportFrom),
    'sextant export eu-west-1 copy.db',
    'sextant export eu-west-1 - | sqlite3 copy.db',
  );
}
