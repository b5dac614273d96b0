/**
 * What of a local deployment does not run, is cut off or is slowed down, and the command that ends each: a fault that was struck by
 * hand, or one that a killed drill has left behind. Pure.
 */

/** As the supervisor knows its deployment. */
export interface Parts {
  readonly isolated: readonly string[];
  /** Regions whose links, and storage nodes whose flushes, are slowed down. */
  readonly slowed: readonly string[];
  readonly processes: readonly { readonly id: string; readonly region: string; readonly state: string }[];
}

export interface BrokenPart {
  /** A sentence. */
  readonly what: string;
  /** Mends it. */
  readonly command: string;
}

const verbFor = (state: string): string => (state === 'frozen' ? 'thaw' : 'start');

/** Whole regions first, each once; then single processes. */
export function brokenParts({ isolated, slowed, processes }: Parts): readonly BrokenPart[] {
  const whole = new Map<string, string>();
  for (const [region, states] of statesByRegion(processes)) {
    const [state, ...others] = states;
    if (state !== undefined && others.length === 0 && state !== 'running') whole.set(region, state);
  }
  return [
    ...isolated.map((region) => part(`${region} is cut off`, `region heal ${region}`)),
    ...slowed.map((what) =>
      what.includes('/')
        ? part(`flushes of ${what} are slowed down`, `node thaw ${what}`)
        : part(`the link of ${what} is slowed down`, `region heal ${what}`),
    ),
    ...[...whole].map(([region, state]) =>
      part(`every process of ${region} is ${state}`, `region ${verbFor(state)} ${region}`),
    ),
    ...processes
      .filter(({ region, state }) => state !== 'running' && !whole.has(region))
      .map(({ id, state }) => part(`${id} is ${state}`, `node ${verbFor(state)} ${id}`)),
  ];
}

const part = (what: string, command: string): BrokenPart => ({ what, command: `sextant ${command}` });

/** Which states the processes of each region are in. */
function statesByRegion(processes: Parts['processes']): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const { region, state } of processes) found.set(region, (found.get(region) ?? new Set()).add(state));
  return found;
}
