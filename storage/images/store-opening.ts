/**
 * What a store of images finds at a start: the manifest and the runs it names. What cannot be believed is dropped with all that
 * lies above it, and files that no manifest names are removed: they are what a kill left of a run that was being written, or of
 * one that had been replaced.
 */
import { join } from 'node:path';
import { onDisk } from '../log/disk.ts';
import { StateFile } from '../log/state-file.ts';
import { chainOf, type Manifest, manifestVersion, parseManifest, type RunEntry } from './core/manifest.ts';
import { RunFile, type RunPlace, runNumber, runPath } from './run-file.ts';

export type ImagesFound =
  | {
      readonly kind: 'found';
      readonly manifest: StateFile<Manifest>;
      /** A chain, the base first. */
      readonly runs: readonly RunFile[];
      /** No file has this number or a higher one. */
      readonly nextFile: number;
      /** What was dropped, and why. */
      readonly lost: readonly string[];
    }
  | { readonly kind: 'failed'; readonly message: string };

/** Opens what is in the directory, which is made when absent. @param filling number of a run that is still being filled, and stays. */
export async function findImages(place: RunPlace, filling: number | null = null): Promise<ImagesFound> {
  const { disk, directory } = place;
  const failed = ({ message }: { readonly message: string }): ImagesFound => ({ kind: 'failed', message });
  const made = await onDisk<void>((done) => disk.makeDirectory(directory, done));
  if (made.kind === 'failed') return failed(made);
  const listed = await onDisk<readonly string[]>((done) => disk.list(directory, done));
  if (listed.kind === 'failed') return failed(listed);
  const files = listed.value.flatMap((name) => runNumber(name) ?? []);
  const manifest = new StateFile<Manifest>({
    disk,
    path: join(directory, 'manifest'),
    version: manifestVersion,
    parse: parseManifest,
    // A lost manifest is made of the runs themselves, which say what they are: better than an older one.
    fallback: 'never',
  });
  const lost: string[] = [];
  const loaded = await manifest.load();
  if (loaded.kind === 'damaged') lost.push(`the manifest of the images is damaged: ${loaded.reason}`);
  const named = loaded.kind === 'value' ? loaded.value.runs : await entriesOf(place, files);
  if ('message' in named) return failed(named);
  const runs: RunFile[] = [];
  for (const entry of named) {
    const opened = await RunFile.open(place, entry.file);
    if (opened.kind === 'run' && isSame(opened.run.entry, entry)) {
      runs.push(opened.run);
      continue;
    }
    if (opened.kind === 'failed') {
      await Promise.all(runs.map((run) => run.retire('closed')));
      return failed(opened);
    }
    if (opened.kind === 'run') await opened.run.retire('closed');
    const why = opened.kind === 'run' ? 'it is another run than the manifest names' : opened.reason;
    lost.push(
      `run ${entry.file}, from ${entry.from} to ${entry.to}: ${why}; all that lies above it goes with it`,
    );
    break;
  }
  const kept = new Set(runs.map(({ entry }) => entry.file));
  if (lost.length > 0) {
    const saved = await manifest.save({ runs: runs.map(({ entry }) => entry) });
    // S13: as long as the manifest may name them, the files stay.
    if (saved.kind === 'failed') return failed(saved);
  }
  for (const file of files)
    if (!kept.has(file) && file !== filling)
      await onDisk<void>((done) => disk.remove(runPath(place, file), done));
  return { kind: 'found', manifest, runs, nextFile: Math.max(0, ...files) + 1, lost };
}

/** The chain that the files themselves make. */
async function entriesOf(
  place: RunPlace,
  files: readonly number[],
): Promise<readonly RunEntry[] | { readonly message: string }> {
  const found: RunEntry[] = [];
  for (const file of files) {
    const opened = await RunFile.open(place, file);
    if (opened.kind === 'failed') return opened;
    if (opened.kind === 'bad') continue;
    found.push(opened.run.entry);
    await opened.run.retire('closed');
  }
  return chainOf(found);
}

function isSame(one: RunEntry, other: RunEntry): boolean {
  const { epoch, from, to, isConsistent, endsAt, pages, fuzzyTo } = one;
  return (
    epoch === other.epoch &&
    from === other.from &&
    to === other.to &&
    isConsistent === other.isConsistent &&
    endsAt === other.endsAt &&
    pages === other.pages &&
    fuzzyTo === other.fuzzyTo
  );
}
