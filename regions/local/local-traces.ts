/**
 * What of a deployment can be told from its directory alone, when deployment.json is damaged or lost: the regions it has data
 * of, and the pid files of its processes.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { regionSchema } from '../../storage/index.ts';
import { configFile, pidFile, processNames, telemetryNames } from './local-layout.ts';

function directoriesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/** A region's directory holds directories of its processes and nothing else, with a configuration that was written for each. */
function isRegion(dir: string): boolean {
  const names = existsSync(dir) ? readdirSync(dir) : [];
  return (
    names.length > 0 &&
    names.every((name) => processNames.includes(name)) &&
    names.some((name) => existsSync(configFile(join(dir, name))))
  );
}

/** Names of the directories in `dataDir` in which regions of a deployment keep their processes. */
export function deploymentTraces(dataDir: string): readonly string[] {
  return directoriesIn(dataDir).filter(
    (name) => regionSchema.safeParse(name).success && isRegion(join(dataDir, name)),
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
