/**
 * What a process may say and hear over NATS, by its role and region (R50): the subjects of `subjectsOf` and of the control
 * record, each to exactly those who use it. Whoever takes a gateway over can ship no redo, seal no node and ask no other
 * gateway's answers.
 */
import type { RegionId } from '../../../storage/core.ts';
import { controlBucket, controlStream, hintSubject, recordSubject } from './control-subjects.ts';
import { subjectsOf } from './messages.ts';

/** The processes that speak over NATS. */
export type NatsRole = 'agent' | 'gateway' | 'operator';
export const natsRoles: readonly NatsRole[] = ['agent', 'gateway', 'operator'];

/** Subjects as nats-server takes them: `*` stands for one part, `>` for all that follow. */
export interface NatsPermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export interface NatsProcess {
  readonly cluster: string;
  readonly region: RegionId;
  readonly role: NatsRole;
}

/** Where answers come in. Each role of each region has its own, so that nobody hears what others are answered. */
export function inboxPrefixOf({ cluster, region, role }: NatsProcess): string {
  return `_INBOX_${cluster}_${region}_${role}`;
}

/** The user that nats-server makes of a certificate (`verify_and_map`): its subject, the last part first. */
export function natsUser({ cluster, region, role }: NatsProcess): string {
  return `CN=${role},OU=${region},O=${cluster}`;
}

/** Who is asked by whom: agents by agents and gateways, gateways by gateways. */
const askedBy: Readonly<Record<NatsRole, readonly NatsRole[]>> = {
  agent: ['agent', 'gateway'],
  gateway: ['gateway'],
  operator: [],
};

/**
 * Where a process may answer: in the inboxes of those who ask it, in every region, for good. The permission that nats-server itself
 * grants for one answer (`allow_responses`) is forgotten when the server reads its files again: whoever was waiting then never heard.
 * An inbox's own name is random, and known to who was asked.
 */
export const answersOf = (cluster: string, role: NatsRole, regions: readonly RegionId[]): readonly string[] =>
  regions.flatMap((region) =>
    askedBy[role].map((asking) => `${inboxPrefixOf({ cluster, region, role: asking })}.>`),
  );

/** Beside its answers (`answersOf`). */
export function permissionsOf(process: NatsProcess): NatsPermissions {
  const { cluster, region, role } = process;
  const own = subjectsOf(cluster);
  const inbox = `${inboxPrefixOf(process)}.>`;
  const control = [hintSubject(cluster), recordSubject(controlBucket(cluster))];
  const ask = (...apis: readonly string[]) => apis.map((api) => `$JS.API.${api}.${controlStream(cluster)}`);
  const read = ask('STREAM.INFO', 'STREAM.MSG.GET');
  switch (role) {
    case 'agent':
      return {
        publish: [
          ofAll(own.ship(region)),
          ofAll(own.pull(region)),
          ofAll(own.ack(region)),
          ofAll(own.fence(region)),
          own.report(region),
          ...control,
          ...read,
          ...ask('STREAM.CREATE', 'STREAM.LEADER.STEPDOWN'),
        ],
        subscribe: [
          own.ship(region),
          own.pull(region),
          own.ack(region),
          own.fence(region),
          own.agent(region),
          own.allReports,
          hintSubject(cluster),
          inbox,
        ],
      };
    case 'operator':
      // Whoever watches over the servers: it looks at the copies of the control record.
      return { publish: ask('STREAM.INFO'), subscribe: [inbox] };
    case 'gateway':
      return {
        publish: [
          ofAll(own.agent(region)),
          `${ofAll(own.sql(region))}.*.*`,
          own.report(region),
          own.cancel(region),
          ...control,
          ...read,
        ],
        subscribe: [
          `${own.sql(region)}.*.*`,
          own.ack(region),
          own.allReports,
          own.allCancels,
          hintSubject(cluster),
          inbox,
        ],
      };
  }
}

/** The same subject of every region. */
const ofAll = (subject: string): string => `${subject.slice(0, subject.lastIndexOf('.'))}.*`;
