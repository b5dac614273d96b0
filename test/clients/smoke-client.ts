/** What a client under test is: its folder, how it talks, and the steps that its smoke program goes through. */

/** What keeps the databases of the deployment that it is tried on. */
export type Engine = 'sqlite' | 'postgres';

/** In the order in which programs take them. */
export const steps = [
  'connect',
  'schema',
  'insert',
  'read',
  'last-id',
  'changes',
  'commit',
  'rollback',
  'batch',
  'cascade',
  'unique',
  'prepared',
  'cursor',
  'copy',
  'read-only',
  'describe',
  'infinity',
  'own-writes',
  'push',
  'inserts',
  'archive',
  'whole',
  'select',
  'tpc-b',
  'extended',
  'sums',
] as const;
export type Step = (typeof steps)[number];

/** What every client of an engine has to show, unless it has no way to. */
export const commonSteps: Readonly<Record<Engine, readonly Step[]>> = {
  sqlite: [
    'connect',
    'schema',
    'insert',
    'read',
    'last-id',
    'changes',
    'commit',
    'rollback',
    'batch',
    'cascade',
    'unique',
    'own-writes',
  ],
  postgres: [
    'connect',
    'schema',
    'insert',
    'read',
    'commit',
    'rollback',
    'batch',
    'unique',
    'prepared',
    'cursor',
    'copy',
    'own-writes',
  ],
};

/** `postgres` is PostgreSQL's protocol. */
export type Transport = 'http' | 'ws' | 'postgres';
export type Toolchain = 'npm' | 'python' | 'go' | 'rust' | 'java';

/** Steps that a client has no way to take, and why. */
export interface Without {
  readonly steps: readonly Step[];
  /** Absent: over every transport. */
  readonly transport?: Transport;
  readonly why: string;
}

export interface SmokeClient {
  /** Of its folder, and of `--only`. */
  readonly name: string;
  readonly engine: Engine;
  readonly toolchain: Toolchain;
  /** What the manifest pins and the table shows; the first is the client itself. */
  readonly packages: readonly string[];
  readonly transports: readonly Transport[];
  /** What only some clients can show. */
  readonly extra: readonly Step[];
  readonly without: readonly Without[];
  /** Of a tool that is no driver: it takes these steps and no others. */
  readonly tool?: readonly Step[];
}
