/** What of a session is not the default, on a backend that all sessions share: how it is made so, and read back. */
import type { WireSettings } from '../../../../sql/wire-operation.ts';

export const noSettings: WireSettings = {};

export function sameWireSettings(a: WireSettings, b: WireSettings): boolean {
  if (a === b) return true;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** Who a session is comes last: it may not be allowed to set the others. */
const identity = ['session_authorization', 'role'] as const;
/** Who the engine itself is. RESET SESSION AUTHORIZATION changes nothing here: this server has no login that it could go back to. */
const engineUser = 'postgres';
const isIdentity = (name: string): boolean => identity.some((other) => other === name);

/** SQL that makes the settings of a session so, whatever they were. */
export function settingsSql(settings: WireSettings): string {
  const names = [...Object.keys(settings).filter((name) => !isIdentity(name)), ...identity];
  const calls = names.flatMap((name) => {
    const value = settings[name];
    return value === undefined ? [] : [`set_config(${quoted(name)}, ${quoted(value)}, false)`];
  });
  // One call for each, in order: a SELECT does not promise the order of its columns' side effects, several statements do.
  return [
    'RESET ROLE',
    `SET SESSION AUTHORIZATION ${engineUser}`,
    'RESET ALL',
    ...calls.map((call) => `SELECT ${call}`),
  ].join('; ');
}

const quoted = (text: string): string =>
  text.includes('\\')
    ? `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`;

/** SQL that answers a row (name, value) for each setting of the session. @param own names that the server does not know. */
export function readSettingsSql(own: Iterable<string>): string {
  const names = [...own].map(quoted).join(', ');
  const others =
    names === ''
      ? ''
      : ` UNION ALL SELECT n, current_setting(n, true) FROM unnest(ARRAY[${names}]) n WHERE current_setting(n, true) <> ''`;
  return (
    "SELECT name, setting FROM pg_settings WHERE source = 'session'" +
    " AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')" +
    " UNION ALL SELECT 'role', current_setting('role') WHERE current_setting('role') <> 'none'" +
    ` UNION ALL SELECT 'session_authorization', session_user WHERE session_user <> '${engineUser}'` +
    others
  );
}

const setting = /\bset\s+(?:session\s+|local\s+)?([a-z_][\w$]*(?:\.[a-z_][\w$]*)+)\s*(?:=|to\b)/gi;
const configured = /\bset_config\s*\(\s*'([a-z_][\w$]*(?:\.[a-z_][\w$]*)+)'/gi;
const changing = /^(?:SET|RESET|DISCARD ALL)$/;
/** A change of a row of `pg_settings` is one of the setting. */
const mayChange = /\b(?:set_config|pg_settings)\b/i;

/** Names that a text sets and that are an application's own: they have a dot. Lower case. */
export function ownNames(sql: string): readonly string[] {
  return [setting, configured].flatMap((pattern) =>
    [...sql.matchAll(pattern)].map((found) => (found[1] ?? '').toLowerCase()),
  );
}

/** Whether an operation may have changed the settings of its session. @param tags of its statements, as they were answered. */
export function touchesSettings(statements: readonly string[], tags: readonly string[]): boolean {
  return tags.some((tag) => changing.test(tag)) || statements.some((sql) => mayChange.test(sql));
}
