/** Options that name a backup store, and the store they name. */
import { type Command, Option } from 'commander';
import { type BackupConfig, parsePlace } from '../../backup/core/backup-config.ts';
import { openStore } from '../../backup/object-store.ts';
import type { ObjectStore } from '../../backup/store-types.ts';
import { backupBeside, loadMachineFile } from '../../deploy/region-file.ts';
import { requireDeployment } from '../../local/deployment-file.ts';
import { backupOf } from '../../local/places/data-places.ts';
import { CliError } from '../ask/output.ts';

export interface StoreOptions {
  readonly from?: string;
  readonly of?: string;
  readonly config?: string;
  readonly endpoint?: string;
  readonly storeRegion?: string;
  readonly credentialsFile?: string;
  readonly virtualHost?: boolean;
}

export const withStore = (command: Command): Command =>
  command
    .option('--from <store>', 'a directory, or s3://bucket/prefix')
    .option('--config <file>', "a region's file, whose `backup` is meant")
    .option('--of <cluster/region>', 'which of several backups in the store')
    .option('--endpoint <url>', 'of an S3 server that is not AWS')
    .option('--store-region <name>', 'region of the S3 server (default: us-east-1)')
    .option(
      '--credentials-file <file>',
      'keys for the S3 server (default: $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY)',
    )
    .addOption(new Option('--virtual-host', 'the bucket is in the host, and not in the path').hideHelp());

/** `--of` as its parts. @throws CliError. */
export function backupNamed({ of }: StoreOptions): { readonly cluster?: string; readonly region?: string } {
  if (of === undefined) return {};
  const [, cluster, region] = /^([a-z0-9-]+)\/([a-z0-9-]+)$/.exec(of) ?? [];
  if (cluster === undefined || region === undefined)
    throw new CliError(`--of is <cluster>/<region>, such as shop/us-east-1, not ${of}`);
  return { cluster, region };
}

/** The store that the options name; without any, that of the local deployment in `dataDir`. @throws CliError. */
export function storeOf(options: StoreOptions, dataDir?: string): ObjectStore {
  return openStore(placeOf(options, dataDir));
}

function placeOf(options: StoreOptions, dataDir: string | undefined): BackupConfig {
  const { from, config, endpoint, storeRegion: region, credentialsFile, virtualHost } = options;
  if (from !== undefined) {
    const parsed = parsePlace(from, {
      ...(endpoint !== undefined && { endpoint }),
      ...(region !== undefined && { region }),
      ...(credentialsFile !== undefined && { credentialsFile }),
      ...(virtualHost === true && { pathStyle: false }),
    });
    if (parsed.kind === 'bad') throw new CliError(`--from ${from}: ${parsed.reason}`);
    return parsed.place;
  }
  if (config !== undefined) {
    const loaded = loadMachineFile(config);
    if (loaded.kind === 'invalid') throw new CliError(loaded.message);
    const backup = loaded.value.kind === 'region' ? loaded.value.region.backup : undefined;
    if (backup === undefined) throw new CliError(`${config} has no \`backup\``);
    return backupBeside(backup, config);
  }
  if (dataDir === undefined) throw new CliError('say where the backup lies, with --from or --config');
  const backup = backupOf(requireDeployment(dataDir));
  if (backup === undefined)
    throw new CliError(
      'this deployment has no backup: `sextant up --backup DIR` gives it one; or say where one lies with --from',
    );
  return backup;
}
