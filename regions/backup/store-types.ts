/** What a backup needs of a store. */

/** An object as a list has it. */
export interface Listed {
  readonly name: string;
  /** Its length. */
  readonly bytes: number;
}

/** All of it throws StoreError when the store does not do what is asked. */
export interface ObjectStore {
  /** Where it is, for people; holds nothing secret. */
  readonly describe: string;
  /** Writes an object as a whole: whoever reads finds all of it or none. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** @returns null when there is no such object. */
  get(name: string): Promise<Uint8Array | null>;
  /** Names that begin with `prefix`, in no order. */
  list(prefix: string): Promise<readonly Listed[]>;
  /** One that is not there is removed. */
  remove(name: string): Promise<void>;
}

/** A store did not do what was asked. The message names the store and what to do where that is known, and nothing secret. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}
