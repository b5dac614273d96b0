/**
 * What clients did and saw, and what of it no correct deployment could have shown. Pure.
 *
 * A place is a line of history: `main`, or a branch. It has lists, each with a register beside it, and one journal of transfers
 * between accounts. All of them are histories that only grow: a write puts its id at the end, a read shows all ids in their order. So
 * one set of rules serves all:
 *
 * 1. A read is a beginning of what the history is at the end.
 * 2. What was acknowledged is there once; what certainly failed is not.
 * 3. `global`: a read holds every write that was acknowledged anywhere before it began.
 * 4. `session`: it holds every write acknowledged through the same gateway before it began.
 * 5. `bookmark`: the client shows what it was told last to whatever gateway: it never reads behind that, at `eventual`.
 * 6. A register has one value for each of its versions, whoever reads it, and both belong to the list beside it.
 * 7. The balances that a read shows are those of the transfers that it shows: no half of one, none twice, and their sum never changes.
 */

export const levels = ['eventual', 'session', 'global', 'bookmark'] as const;
export type Level = (typeof levels)[number];

export const accounts = 6;
export const balanceAtStart = 1_000;

/** How a write ended for its client. */
export type Fate = 'acknowledged' | 'failed' | 'unknown';

export interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly amount: number;
}

export interface Write {
  readonly id: number;
  /** A history: its place and its name, such as `main/2` or `side/transfers`. */
  readonly history: string;
  readonly gateway: string;
  readonly client: number;
  /** Infinite until it has ended. */
  endedMs: number;
  fate: Fate;
  readonly transfer?: Transfer;
}

export interface Read {
  readonly history: string;
  readonly gateway: string;
  readonly client: number;
  readonly level: Level;
  readonly beganMs: number;
  /** In the order in which it shows them. */
  readonly ids: readonly number[];
  /** Of the register beside a list. */
  readonly register?: { readonly version: number; readonly value: number };
  /** Of the accounts of a journal. */
  readonly balances?: readonly number[];
}

export interface Histories {
  readonly writes: readonly Write[];
  readonly reads: readonly Read[];
  /** The ids of each history at the end. */
  readonly final: ReadonlyMap<string, readonly number[]>;
}

/** What the histories break, each in a sentence; empty when nothing is wrong. */
export function judge({ writes, reads, final }: Histories): readonly string[] {
  const places = new Map(
    [...final].map(([history, ids]) => [history, new Map(ids.map((id, at) => [id, at]))]),
  );
  const found = [...atTheEnd(writes, final, places)];
  const transfers = new Map(
    writes.flatMap(({ id, transfer }) => (transfer === undefined ? [] : [[id, transfer]])),
  );
  const values = new Map<string, number>();
  const furthest = new Map<string, number>();
  const byHistory = Map.groupBy(
    writes.filter(({ fate }) => fate === 'acknowledged'),
    ({ history }) => history,
  );
  for (const read of reads) {
    const { history, ids, client, level } = read;
    const end = final.get(history) ?? [];
    if (ids.some((id, at) => end[at] !== id))
      found.push(`client ${client} (${level}) read of ${history} what it never was`);
    found.push(...misread(read, transfers, values));
    const missing = (byHistory.get(history) ?? []).find(
      (write) => owes(read, write) && (places.get(history)?.get(write.id) ?? Infinity) >= ids.length,
    );
    if (missing !== undefined)
      found.push(`client ${client} (${level}) did not see write ${missing.id} of ${history}`);
    if (level !== 'bookmark') continue;
    const mine = `${client} ${history}`;
    if (ids.length < (furthest.get(mine) ?? 0))
      found.push(`client ${client} (bookmark) went back on ${history}`);
    furthest.set(mine, Math.max(ids.length, furthest.get(mine) ?? 0));
  }
  return found;
}

/** What was acknowledged, and what failed, against the end. */
function atTheEnd(
  writes: readonly Write[],
  final: Histories['final'],
  places: ReadonlyMap<string, ReadonlyMap<number, number>>,
): readonly string[] {
  const found: string[] = [];
  for (const [history, ids] of final)
    if (new Set(ids).size !== ids.length) found.push(`${history} holds a write twice`);
  for (const { id, history, fate } of writes) {
    const isThere = places.get(history)?.has(id) === true;
    if (fate === 'acknowledged' && !isThere)
      found.push(`write ${id} was acknowledged, and is not in ${history}`);
    if (fate === 'failed' && isThere) found.push(`write ${id} failed, and is in ${history}`);
  }
  return found;
}

/** Whether the read has to show the write, by its level. */
function owes({ level, gateway, client, beganMs }: Read, write: Write): boolean {
  if (write.endedMs >= beganMs) return false;
  switch (level) {
    case 'eventual':
      return false;
    case 'session':
      return write.gateway === gateway;
    case 'global':
      return true;
    case 'bookmark':
      return write.client === client;
  }
}

/** Parts of one read that do not belong together. @param values what each version of each register was read as. */
function misread(
  { history, client, level, ids, register, balances }: Read,
  transfers: ReadonlyMap<number, Transfer>,
  values: Map<string, number>,
): readonly string[] {
  const found: string[] = [];
  if (register !== undefined) {
    const { version, value } = register;
    if (version !== ids.length || (ids.at(-1) ?? 0) !== value)
      found.push(`client ${client} (${level}) read half a write of ${history}`);
    const known = values.get(`${history} ${version}`) ?? value;
    if (known !== value) found.push(`version ${version} of the register ${history} is ${known} and ${value}`);
    values.set(`${history} ${version}`, value);
  }
  if (balances !== undefined) {
    const wanted = balancesAfter(ids.flatMap((id) => transfers.get(id) ?? []));
    if (wanted.some((balance, account) => balances[account] !== balance))
      found.push(
        `client ${client} (${level}) read balances ${balances} of ${history}, and its transfers make ${wanted}`,
      );
  }
  return found;
}

/** What the accounts hold after transfers. */
export function balancesAfter(transfers: readonly Transfer[]): readonly number[] {
  const balances = Array.from({ length: accounts }, () => balanceAtStart);
  for (const { from, to, amount } of transfers) {
    balances[from] = (balances[from] ?? 0) - amount;
    balances[to] = (balances[to] ?? 0) + amount;
  }
  return balances;
}
