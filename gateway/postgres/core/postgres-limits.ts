/** Every bound of the PostgreSQL front end, with its unit in its name. */
import { gatewayStop } from '../../../regions/core.ts';
import type { SlotLimits } from '../../access/core/connection-slots.ts';
import type { ConversationLimits } from './conversation.ts';

export interface PostgresLimits
  extends ConversationLimits,
    Pick<SlotLimits, 'connections' | 'unprovenConnectionsPerAddress'> {
  /** One message of a client that is logged in, bytes. */
  readonly messageBytes: number;
  /** One message of a client that is not, bytes. */
  readonly loginMessageBytes: number;
  /** From the connection to the end of the login. */
  readonly loginMs: number;
  /** What is read of one client while an operation of it runs, bytes. */
  readonly readAheadBytes: number;
  /** What has been read of all clients and is not answered, bytes. */
  readonly inputBytes: number;
  /** A client that takes nothing of its answers for so long is cut. */
  readonly untakenMs: number;
  /** How long `close` waits for work in flight before it cuts the sockets: as long as for clients of other protocols. */
  readonly shutdownMs: number;
}

const mebibyte = 1024 * 1024;

export const defaultPostgresLimits: PostgresLimits = {
  connections: 1_000,
  unprovenConnectionsPerAddress: 256,
  messageBytes: 64 * mebibyte,
  batchBytes: 64 * mebibyte,
  copyBytes: 64 * mebibyte,
  preparedStatements: 10_000,
  preparedBytes: 16 * mebibyte,
  loginMessageBytes: 10_000,
  loginMs: 10_000,
  readAheadBytes: mebibyte,
  inputBytes: 512 * mebibyte,
  untakenMs: 60_000,
  shutdownMs: gatewayStop.clientsMs,
};
