/**
 * What of a deployment can be told from its directory alone, when deployment.json is damaged or lost: the regions it has data
 * of, and the pid files of its processes.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { regionSchema } from '../../storage/index.ts';
import {
  formerConfigFile,
  pidFile,
  processNames,
  regionFileOf,
  telemetryNames,
} from './layout/local-layout.ts';

function directoriesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

const besideProcesses: readonly string[] = [
  'region.yaml',
  'region.yaml.new',
  'joining.yaml',
  'joining.yaml.new',
  'witness.yaml',
  'witness.yaml.new',
  'secrets',
];

/**
 * A region's directory holds its file, its secrets and directories of its processes, and nothing else; before there were such
 * files, a configuration for each process.
 */
function isRegion(dataDir: string, region: string): boolean {
  const dir = join(dataDir, region);
  const names = existsSync(dir) ? readdirSync(dir) : [];
  return (
    names.every((name) => processNames.includes(name) || besideProcesses.includes(name)) &&
    (existsSync(regionFileOf(dataDir, region)) ||
      names.some((name) => existsSync(formerConfigFile(join(dir, name)))))
  );
}

/** Names of the directories in `dataDir` in which regions of a deployment keep their processes. */
export function deploymentTraces(dataDir: string): readonly string[] {
  return directoriesIn(dataDir).filter(
    (name) => regionSchema.safeParse(name).success && isRegion(dataDir, name),
  );
}

/** Pid files in the places where processes of a deployment keep them: `<region>/<process>/`, `witness/`, `telemetry/<process>/`. */
export function pidFilesBelow(dataDir: string): readonly string[] {
  const dirs = directoriesIn(dataDir)
    .filter((name) => name !== 'supervisor')
    .flatMap((name) => [
      join(dataDir, name),
      ...directoriesIn(join(dataDir, name))
        .filter((process) => processNames.includes(process) || telemetryNames.includes(process))
        .map((process) => join(dataDir, name, process)),
    ]);
  return dirs.map(pidFile).filter((file) => existsSync(file));
}
