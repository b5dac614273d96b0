/** What has changed between two events, in words: the log that a drill or a move is watched by. Pure. */
import type { LiveEvent } from './api-types.ts';

export interface Happening {
  readonly atMs: number;
  readonly tone: 'good' | 'warn' | 'bad' | 'quiet';
  readonly words: string;
}

/** Nothing where there was no event before: then nothing is known to have changed. */
export function happenings(before: LiveEvent | null, after: LiveEvent): readonly Happening[] {
  if (before === null) return [];
  const { atMs } = after;
  const found: Happening[] = [];
  const tell = (tone: Happening['tone'], words: string): void => void found.push({ atMs, tone, words });
  const [old, now] = [before.status, after.status];
  if (now.primary !== old.primary && now.primary !== null)
    tell('warn', `${now.primary} is primary in epoch ${now.epoch}`);
  else if (now.epoch !== old.epoch)
    tell('quiet', `epoch ${now.epoch} begins in ${now.primary ?? 'no region'}`);
  if (after.move !== null && after.move.id !== before.move?.id)
    tell('warn', `a ${after.move.kind} from ${after.move.from} to ${after.move.to} is under way`);
  if (now.state !== old.state && now.state === 'stable') tell('good', 'the deployment is stable');
  if (now.state !== old.state && now.state === 'degraded') tell('warn', 'the deployment is degraded');
  if (old.hold === null && now.hold !== null)
    tell('warn', 'answers wait for another region, as the policy asks');
  if (old.holder !== null && now.holder === null)
    tell('warn', `nobody holds the pen in ${now.primary ?? 'no region'}`);
  for (const region of now.regions)
    tellRegion(
      old.regions.find(({ name }) => name === region.name),
      region,
      tell,
    );
  for (const epoch of after.lossEpochs)
    if (!before.lossEpochs.includes(epoch)) tell('bad', `writes of epoch ${epoch} are known to be lost`);
  return found;
}

type Region = LiveEvent['status']['regions'][number];

function tellRegion(
  before: Region | undefined,
  region: Region,
  tell: (tone: Happening['tone'], words: string) => void,
): void {
  if (before === undefined) return;
  const { name } = region;
  if (before.role !== 'offline' && region.role === 'offline') tell('bad', `${name} is not heard any more`);
  if (before.role === 'offline' && region.role !== 'offline') tell('good', `${name} is heard again`);
  if (before.stalledMs === 0 && region.stalledMs > 0) tell('warn', `${name} stands still behind its primary`);
  if (before.writer === null && region.writer !== null) tell('good', `${region.writer} of ${name} writes`);
  // A region that is not heard says nothing of its nodes.
  if (before.role === 'offline' || region.role === 'offline') return;
  for (const node of region.nodes) {
    const was = before.nodes.find(({ id }) => id === node.id)?.state;
    if (was !== undefined && was !== 'down' && node.state === 'down')
      tell('bad', `${name}/${node.id} is down`);
    if (was === 'down' && node.state !== 'down') tell('good', `${name}/${node.id} is back`);
  }
}
