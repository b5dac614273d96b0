/** Options of `sextant up` that say where the deployment is backed up to. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type BackupConfig, backupSchema, parsePlace } from '../../backup/core/backup-config.ts';
import { CliError } from './output.ts';

export interface BackupOptions {
  /** False: `--no-backup`. */
  readonly backup?: string | false;
  readonly backupEndpoint?: string;
  readonly backupCredentials?: string;
  readonly backupKeepDays?: string;
}

export const withBackup = (command: Command): Command =>
  command
    .option('--backup <store>', 'from now on, the first region is backed up to DIR or s3://bucket/prefix')
    .option('--no-backup', 'from now on it is not')
    .option('--backup-endpoint <url>', 'with s3://: a server that is not AWS')
    .option(
      '--backup-credentials <file>',
      'with s3://: file with the keys (default: $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY)',
    )
    .option('--backup-keep-days <n>', 'a restore reaches back so many days at least (default: 30)');

/** As an `up` that runs in another process is told them. */
export const backupArgs = ({
  backup,
  backupEndpoint,
  backupCredentials,
  backupKeepDays,
}: BackupOptions): readonly string[] => [
  ...(backup === undefined ? [] : backup === false ? ['--no-backup'] : ['--backup', backup]),
  ...(backupEndpoint === undefined ? [] : ['--backup-endpoint', backupEndpoint]),
  ...(backupCredentials === undefined ? [] : ['--backup-credentials', backupCredentials]),
  ...(backupKeepDays === undefined ? [] : ['--backup-keep-days', backupKeepDays]),
];

/** Null: nowhere from now on; left out: as before. @throws CliError that names the option. */
export function backupOf(options: BackupOptions): { readonly backup?: BackupConfig | null } {
  const { backup, backupEndpoint, backupCredentials, backupKeepDays } = options;
  if (backup === false) return { backup: null };
  if (backup === undefined) {
    if ((backupEndpoint ?? backupCredentials ?? backupKeepDays) !== undefined)
      throw new CliError('say with --backup where to: DIR, or s3://bucket/prefix');
    return {};
  }
  const isS3 = backup.startsWith('s3://');
  const parsed = parsePlace(isS3 ? backup : resolve(backup), {
    ...(backupEndpoint !== undefined && { endpoint: backupEndpoint }),
    ...(backupCredentials !== undefined && { credentialsFile: resolve(backupCredentials) }),
  });
  if (parsed.kind === 'bad') throw new CliError(`--backup ${backup}: ${parsed.reason}`);
  const keepDays = backupKeepDays === undefined ? parsed.place.keepDays : Number(backupKeepDays);
  const kept = backupSchema.safeParse({ ...parsed.place, keepDays });
  if (!kept.success)
    throw new CliError(`--backup-keep-days: ${kept.error.issues[0]?.message ?? 'not possible'}`);
  return { backup: kept.data };
}
