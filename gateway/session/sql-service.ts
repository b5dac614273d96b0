/** Opens client streams on the databases of this gateway, up to a bound for all of them together. */

import { type BranchName, mainBranch } from '../../storage/core.ts';
import { adviseError, limitFailure } from '../sql/errors.ts';
import type { SessionOptions, SqlError, SqlOutcome, SqlService } from '../sql/sql.ts';
import type { DatabaseDirectory } from './database.ts';
import { GatewaySession, type SessionServices } from './sql-session.ts';

export class GatewaySqlService implements SqlService {
  private readonly databases: DatabaseDirectory;
  private readonly services: SessionServices;
  private open = 0;

  constructor(databases: DatabaseDirectory, services: SessionServices) {
    this.databases = databases;
    this.services = services;
  }

  /** Streams open now. */
  get openSessions(): number {
    return this.open;
  }

  openSession(options?: SessionOptions): SqlOutcome<GatewaySession> {
    const { sessions } = this.services.limits;
    if (this.open >= sessions) return limitFailure('sessions', sessions);
    const branch = options?.branch ?? mainBranch;
    const database = this.databases.find(branch);
    if (database === null) return { ok: false, error: this.unknown(branch) };
    this.open += 1;
    return {
      ok: true,
      value: new GatewaySession(database, this.servicesFor(options), () => {
        this.open -= 1;
      }),
    };
  }

  branchProblem(branch: BranchName): SqlError | null {
    return this.databases.has(branch) ? null : this.unknown(branch);
  }

  private unknown(branch: BranchName): SqlError {
    return adviseError('SEXTANT_BRANCH_UNKNOWN', this.databases.whyUnknown(branch));
  }

  private servicesFor(options: SessionOptions | undefined): SessionServices {
    const { readDefault } = this.services;
    const { readPreference = readDefault, readOnly = false, bookmark = null } = options ?? {};
    return readPreference === readDefault && !readOnly && bookmark === null
      ? this.services
      : { ...this.services, readDefault: readPreference, readOnly, bookmark };
  }
}
