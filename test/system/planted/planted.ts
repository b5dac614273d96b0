/**
 * Defects in the real processes, for drills to be seen red. A test loads `preload.ts` into every process of its deployment, with Node's
 * own `--import`; nothing in production knows of it. A defect is in force in one process while a file with its name lies in that
 * process's folder (`TestDeployment` names the folder), so that it comes and goes while the process runs.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where the simulator has the same defect it has the same name there. */
export const plantedDefects = [
  /** A gateway: it acknowledges whatever its lease says, and sees for some seconds no record that names another holder. */
  'ignore-lease',
  /** A storage node: a writer whose reign is over passes for the newest. */
  'ignore-seal',
  /** A gateway: it acknowledges what has not left for the storage nodes yet. */
  'answers-early',
  /** A gateway: four storage nodes are not enough, it waits for five, or for all six. */
  'needs-five',
  'needs-six',
  /** A gateway: one storage node that is late ends its reign. */
  'age-ends-reign',
  /** A gateway: it renews its lease no more. */
  'never-renews',
  /** A gateway that does not write: it shows what it has read, and reads no further. */
  'shows-the-past',
  /** An agent of the primary: redo leaves a quarter of a second late, as over a long way. No defect: what is lost is more than a write or two. */
  'ships-late',
  /** An agent of the primary: it ships nothing, and believes that it does. */
  'skip-replication',
  /** An agent of the primary: it says that nobody is behind. */
  'hides-lag',
  /** An agent of a secondary: it takes redo and stores none. */
  'stores-nothing',
  /** An agent: its loss reports leave out the first write. */
  'hide-losses',
] as const;
export type PlantedDefect = (typeof plantedDefects)[number];

/** The file that puts a defect in force, in the folder of a process. */
export const plantedFile = (defect: PlantedDefect): string => `planted-${defect}`;

const lookEveryMs = 10;
const looks = new Map<PlantedDefect, { readonly found: boolean; readonly atMs: number }>();

/** Whether the defect is in force in this process now. */
export function isPlanted(defect: PlantedDefect): boolean {
  const nowMs = performance.now();
  const last = looks.get(defect);
  if (last !== undefined && nowMs - last.atMs < lookEveryMs) return last.found;
  const found = existsSync(join(process.cwd(), plantedFile(defect)));
  looks.set(defect, { found, atMs: nowMs });
  return found;
}

type Method<T, Args extends readonly unknown[], Result> = (this: T, ...args: Args) => Result;

/**
 * Puts another method in the place of one of a production class; private ones have no type here, so that the caller says it.
 * @throws Error when there is no such method: the defect has to be planted elsewhere then.
 */
export function replaceMethod<T, Args extends readonly unknown[], Result>(
  of: { readonly name: string; readonly prototype: T },
  method: string,
  make: (was: Method<T, Args, Result>) => Method<T, Args, Result>,
): void {
  const { prototype } = of;
  const was: unknown = Reflect.get(Object(prototype), method);
  if (typeof was !== 'function') throw new Error(`${of.name} has no method ${method} to plant a defect in`);
  Reflect.set(Object(prototype), method, make(was as Method<T, Args, Result>));
}
