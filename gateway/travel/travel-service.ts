/** Opens client streams that can read the past. */

import type { BranchName } from '../../storage/index.ts';
import type { GatewaySqlService } from '../session/sql-service.ts';
import type { SessionOptions, SqlError, SqlOutcome, SqlService, SqlSession } from '../sql/sql.ts';
import { type TravelServices, TravelSession } from './travel-session.ts';

export class TravelService implements SqlService {
  private readonly present: GatewaySqlService;
  private readonly services: TravelServices;

  constructor(present: GatewaySqlService, services: TravelServices) {
    this.present = present;
    this.services = services;
  }

  openSession(options?: SessionOptions): SqlOutcome<SqlSession> {
    const opened = this.present.openSession(options);
    return opened.ok ? { ok: true, value: new TravelSession(opened.value, this.services) } : opened;
  }

  branchProblem(branch: BranchName): SqlError | null {
    return this.present.branchProblem(branch);
  }
}
