/** From a login to a session that is ready: which database, its first settings, and what a driver is told before it may ask. */
import { type BranchName, branchName, isBranchName, mainBranch } from '../../storage/core.ts';
import type { SqlError } from '../sql/sql.ts';
import { readPreferenceIn, readSetting, type WireResult } from '../sql/wire-operation.ts';
import { type ReportedSettings, SessionSettings } from './core/session-settings.ts';
import { reportOf } from './core/sqlstate.ts';
import type { LoggedIn } from './login.ts';
import { queryMessage } from './protocol/core/client-messages.ts';
import { BodyReader } from './protocol/core/message-bytes.ts';
import type { Report } from './protocol/core/server-messages.ts';
import { type WireService, type WireSession, wireOutcome } from './wire-service.ts';

export type Begun =
  | {
      readonly kind: 'begun';
      readonly session: WireSession;
      readonly settings: SessionSettings;
      readonly reported: ReportedSettings;
    }
  | { readonly kind: 'refused'; readonly report: Report };

/** Names under which clients expect a database that is always there. */
const mainNames: ReadonlySet<string> = new Set(['postgres', mainBranch]);

/** Bounds of what goes with each operation, also to other gateways. UTF-16 units. */
const settingBounds = { name: 64, value: 8_192, count: 64 } as const;
/** Whether it takes effect is known without asking the engine. */
const harmless: ReadonlySet<string> = new Set([
  'application_name',
  'client_encoding',
  'default_transaction_read_only',
  readSetting,
]);

const refused = (report: Report): Begun => ({ kind: 'refused', report });
const refusedBy = (error: SqlError): Begun => refused(reportOf(error));

/** @param version what drivers are told as `server_version`; the first digits have to be PostgreSQL's own */
export async function beginSession(
  { user, access, database, settings: given }: LoggedIn,
  service: WireService,
  version: string,
): Promise<Begun> {
  const isMain = mainNames.has(database);
  if (!isMain && !isBranchName(database))
    return refused({
      code: '3D000',
      message: `database ${JSON.stringify(database)} does not exist`,
      hint: 'The databases are main, which is also called postgres, and the branches of the deployment (sextant branch list).',
    });
  const branch: BranchName = isMain ? mainBranch : branchName(database);
  const problem = isMain ? null : (service.branchProblem?.(branch) ?? null);
  if (problem !== null) return refusedBy(problem);
  const settings = initialSettings(given, access);
  if ('code' in settings) return refused(settings);
  const opened = service.openSession({ branch, ...(access === 'read' ? { readOnly: true } : {}) });
  if (!opened.ok) return refusedBy(opened.error);
  const session = opened.value;
  const defaults = reportedDefaults(user, version);
  const told = await reportedTo(session, settings.initial, defaults);
  if (told.kind === 'refused') {
    await session.close();
    return told;
  }
  return {
    kind: 'begun',
    session,
    settings: new SessionSettings(settings.initial, told.reported, defaults),
    reported: told.reported,
  };
}

interface Initial {
  readonly initial: Readonly<Record<string, string>>;
}

function initialSettings(given: Readonly<Record<string, string>>, access: 'full' | 'read'): Initial | Report {
  const initial: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    if (name.length > settingBounds.name || value.length > settingBounds.value)
      return {
        code: '54000',
        message: `the setting ${JSON.stringify(name.slice(0, 64))} is longer than 8192 characters`,
      };
    if (name === 'client_encoding' && !/^(?:utf-?8|unicode)$/i.test(value.replaceAll("'", '')))
      return {
        code: '0A000',
        message: `client_encoding ${JSON.stringify(value)} is not supported`,
        hint: 'Use UTF8.',
      };
    // A commit is acknowledged when it is durable, whatever a client would rather have.
    if (name !== 'client_encoding' && name !== 'synchronous_commit') initial[name] = value;
  }
  if (readPreferenceIn(initial) === 'unknown')
    return { code: '22023', message: `${readSetting} is eventual, session or global` };
  if (access === 'read') initial.default_transaction_read_only = 'on';
  if (Object.keys(initial).length > settingBounds.count)
    return { code: '54000', message: `more than ${settingBounds.count} settings in the startup packet` };
  return { initial };
}

/** As a server says it whose settings nobody has changed. */
function reportedDefaults(user: string, version: string): ReportedSettings {
  return {
    server_version: version,
    server_encoding: 'UTF8',
    client_encoding: 'UTF8',
    application_name: '',
    default_transaction_read_only: 'off',
    in_hot_standby: 'off',
    is_superuser: 'on',
    session_authorization: user,
    DateStyle: 'ISO, MDY',
    IntervalStyle: 'postgres',
    TimeZone: 'UTC',
    integer_datetimes: 'on',
    standard_conforming_strings: 'on',
    scram_iterations: '4096',
  };
}

type Reported =
  | { readonly kind: 'reported'; readonly reported: ReportedSettings }
  | Extract<Begun, { kind: 'refused' }>;

/** What the client is told of the settings that it begins with; the engine is asked where only it knows whether they are possible. */
async function reportedTo(
  session: WireSession,
  initial: Readonly<Record<string, string>>,
  defaults: ReportedSettings,
): Promise<Reported> {
  const reported = { ...defaults };
  const names = Object.keys(defaults);
  for (const name of names) reported[name] = initial[name.toLowerCase()] ?? defaults[name] ?? '';
  if (Object.keys(initial).every((name) => harmless.has(name))) return { kind: 'reported', reported };
  const asked = names.filter((name) => Object.hasOwn(initial, name.toLowerCase()));
  const list = asked.map((name) => `'${name}', pg_catalog.current_setting('${name}')`).join(', ');
  const sql = `SELECT ${list === '' ? "''" : list}`;
  const { promise, resolve } = Promise.withResolvers<ReturnType<typeof wireOutcome>>();
  session.run(
    {
      kind: 'wire',
      messages: queryMessage(sql),
      prepared: [],
      statements: [sql],
      class: 'read',
      settings: initial,
    },
    { traceparent: null },
    (outcome) => resolve(wireOutcome(outcome)),
  );
  const outcome = await promise;
  if (!outcome.ok) return { kind: 'refused', report: reportOf(outcome.error) };
  const row = rowIn(outcome.value);
  if (row.kind === 'refused') return row;
  for (let at = 0; at + 1 < row.values.length; at += 2)
    reported[row.values[at] ?? ''] = row.values[at + 1] ?? '';
  return { kind: 'reported', reported };
}

type Row = { readonly kind: 'row'; readonly values: readonly string[] } | Extract<Begun, { kind: 'refused' }>;

function rowIn({ messages }: WireResult): Row {
  const from = new BodyReader(messages);
  while (from.remaining > 0) {
    const type = String.fromCharCode(from.byte());
    const body = new BodyReader(from.bytes(from.int32() - 4));
    if (type === 'E') return { kind: 'refused', report: reportIn(body) };
    if (type !== 'D') continue;
    const values = Array.from({ length: body.int16() }, () =>
      new TextDecoder().decode(body.bytes(body.int32())),
    );
    return { kind: 'row', values };
  }
  return { kind: 'row', values: [] };
}

/** The fields of an ErrorResponse. */
function reportIn(body: BodyReader): Report {
  const fields = new Map<string, string>();
  for (let type = body.byte(); type !== 0; type = body.byte())
    fields.set(String.fromCharCode(type), body.text());
  return { code: fields.get('C') ?? 'XX000', message: fields.get('M') ?? 'the settings were refused' };
}
