/** Setting a connection up for a stream, and asking it what it has. */

import {
  fadeAtCommit,
  freshValue,
  isSetting,
  settingQuery,
  settingValue,
} from '../../sql/stream-settings.ts';
import { type StreamSetting, sameSettings } from '../../sql/stream-state.ts';

/** A connection, as far as it can be asked. */
export interface Asked {
  /** Runs a statement of the engine's own. @returns the first column of its first row as text; null without one, or when it fails. */
  ask(sql: string): string | null;
}

const writableSchema = 'writable_schema';
const isWritable = ({ name }: StreamSetting): boolean => name === writableSchema;

/** The settings of one connection, as it last told them. */
export class ConnectionSettings {
  private readonly connection: Asked;
  private readonly cacheSize: string;
  /** Sorted by name; what a new connection has is left out. */
  now: readonly StreamSetting[] = [];
  /** The schema may have been read while it was writable. */
  private isLoose = false;

  /** @param cacheSize `cache_size` of a new connection. */
  constructor(connection: Asked, cacheSize: string) {
    this.connection = connection;
    this.cacheSize = cacheSize;
  }

  /**
   * Makes them those of a stream. Inside a transaction SQLite ignores some of them. While a schema is writable SQLite leaves out what it
   * cannot read of it, and says nothing (G134): whom it is not writable for, it is read again.
   */
  give(wanted: readonly StreamSetting[]): void {
    this.change(wanted);
    if (!this.isLoose || wanted.some(isWritable)) return;
    this.connection.ask(`PRAGMA ${writableSchema}=RESET`);
    this.isLoose = false;
  }

  private change(wanted: readonly StreamSetting[]): void {
    const { now } = this;
    if (wanted.some(isWritable)) this.isLoose = true;
    if (sameSettings(now, wanted)) return;
    for (const { name } of now)
      if (!wanted.some((setting) => setting.name === name)) this.set(name, freshValue(name, this.cacheSize));
    for (const { name, value } of wanted)
      if (!now.some((setting) => setting.name === name && setting.value === value)) this.set(name, value);
    this.now = wanted;
  }

  /** A value may come from another gateway, of another version. */
  private set(name: string, value: string): void {
    if (isSetting(name) && /^(?:-?\d{1,20}|fast)$/.test(value))
      this.connection.ask(`PRAGMA ${name}=${value}`);
  }

  /** Whether they may have changed without being set. */
  get fades(): boolean {
    return fadeAtCommit(this.now);
  }

  /** Asks SQLite again. @param seen settings that a statement may have changed; null for none. */
  readBack(seen: ReadonlySet<string> | null): void {
    const names = new Set(seen ?? []);
    if (this.fades) names.add('defer_foreign_keys');
    const next = new Map(this.now.map(({ name, value }) => [name, value]));
    for (const name of names) {
      const answered = this.connection.ask(settingQuery(name));
      const value = answered === null ? null : settingValue(name, answered);
      if (value === null) continue;
      if (value === freshValue(name, this.cacheSize)) next.delete(name);
      else next.set(name, value);
    }
    const settings = [...next].map(([name, value]) => ({ name, value }));
    settings.sort((a, b) => (a.name < b.name ? -1 : 1));
    if (settings.some(isWritable)) this.isLoose = true;
    if (!sameSettings(settings, this.now)) this.now = settings;
  }
}
