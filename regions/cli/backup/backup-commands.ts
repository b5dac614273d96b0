/** `sextant backup status` and `sextant backup verify`. */
import type { Command } from 'commander';
import { type BackupReader, findBackup, RestoreError } from '../../backup/backup-reader.ts';
import { StoreError } from '../../backup/store-types.ts';
import { timeText } from '../../place/time-text.ts';
import { type BackupReport, backupsSchema } from '../../status/core/backup-report.ts';
import { askAny, failWith, targetOf } from '../ask/admin-client.ts';
import { type AskOptions, type CommonOptions, withAsk, withCommon, withExample } from '../ask/options.ts';
import { CliError, formatBytes, formatMs, note, paint, printJson, table } from '../ask/output.ts';
import { progressLine } from './progress.ts';
import { backupNamed, type StoreOptions, storeOf, withStore } from './store-options.ts';

const atText = (us: number | null): string => (us === null ? '-' : timeText(us));

function setText({ nextSet }: Pick<BackupReport, 'nextSet'>): string {
  if (nextSet.percent !== null) return `${nextSet.percent} % uploaded`;
  if (nextSet.reason !== null) return `due: ${nextSet.reason}`;
  return nextSet.afterBytes === null ? '-' : `after ${formatBytes(nextSet.afterBytes)} of log`;
}

/** What a store says of itself, without any process of a deployment. */
function described(reader: BackupReader): object {
  const { store, manifest, catalog, reaches, damaged } = reader;
  const { id, cluster, region, through, throughUs, writtenUs, sets, gaps, filling } = manifest;
  return {
    store: store.describe,
    id,
    cluster,
    region,
    through,
    throughUs,
    writtenUs,
    manifestAgeMs: Math.max(0, Math.round(Date.now() - writtenUs / 1_000)),
    bytes: catalog.bytes,
    objects: catalog.objects,
    sets: sets.map(({ id: set, to, pages, bytes, commitUs }) => ({ set, lsn: to, pages, bytes, commitUs })),
    filling:
      filling === null ? null : { set: filling.id, nextPage: filling.nextPage, lastPage: filling.lastPage },
    restorable: reaches,
    gaps,
    trouble: damaged,
  };
}

/** Turns what a store or a backup refuses into one line and an exit code. */
export async function withReader<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof StoreError || error instanceof RestoreError) throw new CliError(error.message);
    throw error;
  }
}

async function statusOfStore(options: StoreOptions & CommonOptions): Promise<void> {
  const reader = await withReader(() => findBackup(storeOf(options), backupNamed(options)));
  if (options.json === true) return printJson(described(reader));
  const { manifest, catalog, reaches, damaged, store } = reader;
  console.log(`${paint('bold', store.describe)}  ${catalog.objects} objects, ${formatBytes(catalog.bytes)}`);
  console.log(
    `through LSN ${manifest.through}, last commit ${atText(manifest.throughUs)}, written ${timeText(manifest.writtenUs)}`,
  );
  for (const { from, to } of reaches) console.log(`restores any transaction from LSN ${from} to ${to}`);
  if (reaches.length === 0) note('nothing can be restored from it yet: it has no whole image set');
  for (const { from, to } of manifest.gaps) note(`the log from LSN ${from} to ${to} is missing`);
  if (damaged !== null) note(`the other manifest is damaged: ${damaged}`);
}

async function status(options: AskOptions & StoreOptions): Promise<void> {
  if (options.from !== undefined || options.config !== undefined) return statusOfStore(options);
  const target = targetOf(options);
  const answer = await askAny([...target.gateways, ...target.agents], '/v1/backups', target.headers);
  if (answer.kind !== 'ok') failWith(answer);
  const parsed = backupsSchema.safeParse(answer.body);
  if (!parsed.success)
    throw new CliError(`/v1/backups gave an answer this version cannot read: ${parsed.error.message}`);
  const { backups } = parsed.data;
  if (options.json === true) printJson(parsed.data);
  else if (backups.length > 0)
    console.log(
      table(
        ['REGION', 'AGE', 'THROUGH', 'LAST COMMIT', 'LACKS', 'SIZE', 'OBJECTS', 'IMAGE SETS', 'NEXT SET'],
        backups.map((backup) => [
          backup.region,
          formatMs(backup.ageMs),
          String(backup.through),
          atText(backup.throughUs),
          formatBytes(backup.lagBytes),
          formatBytes(backup.bytes),
          String(backup.objects),
          String(backup.sets),
          setText(backup),
        ]),
      ),
    );
  for (const { region, store, trouble, gaps } of backups) {
    note(`${region}: ${store}${gaps > 0 ? `; ${gaps} stretches of the log are missing` : ''}`);
    if (trouble !== null) console.error(`${paint('yellow', region)}: ${trouble}`);
  }
  if (backups.length === 0)
    throw new CliError(
      'no region has a backup: `backup` in a region\u2019s file, or `sextant up --backup DIR`, gives it one',
    );
  if (backups.some(({ trouble }) => trouble !== null)) process.exitCode = 1;
}

async function verify(options: CommonOptions & StoreOptions): Promise<void> {
  const isJson = options.json === true;
  const { reader, problems } = await withReader(async () => {
    const found = await findBackup(storeOf(options, options.data), backupNamed(options));
    return { reader: found, problems: await found.verify(progressLine(isJson)) };
  });
  if (isJson) printJson({ ok: problems.length === 0, problems, ...described(reader) });
  else {
    for (const problem of problems) console.error(`${paint('red', 'error')}: ${problem}`);
    const { catalog, reaches } = reader;
    console.log(
      `${catalog.objects} objects read, ${formatBytes(catalog.bytes)}: ${problems.length === 0 ? 'ok' : `${problems.length} problems`}`,
    );
    for (const { from, to } of reaches) console.log(`restores any transaction from LSN ${from} to ${to}`);
  }
  if (problems.length > 0) process.exitCode = 1;
}

export function addBackupCommands(program: Command): void {
  const backup = program.command('backup').description('the backup that agents upload all the time');
  withExample(
    withStore(withAsk(backup.command('status')))
      .description(
        'how far each backup is, how old, how large; exit code 0 when all get on. With --from: what a store holds',
      )
      .action(status),
    'sextant backup status',
    'sextant backup status --from s3://backups/shop',
  );
  withExample(
    withStore(withCommon(backup.command('verify')))
      .description(
        'read every object of a backup and check it; exit code 0 when nothing is missing or damaged',
      )
      .action(verify),
    'sextant backup verify --from /mnt/backups',
  );
}
