/** Opens client streams, up to a bound. */

import { limitFailure } from '../sql/errors.ts';
import type { SessionOptions, SqlOutcome, SqlService, SqlSession } from '../sql/sql.ts';
import { GatewaySession, type SessionServices } from './sql-session.ts';

export class GatewaySqlService implements SqlService {
  private readonly services: SessionServices;
  private open = 0;

  constructor(services: SessionServices) {
    this.services = services;
  }

  /** Streams open now. */
  get openSessions(): number {
    return this.open;
  }

  openSession(options?: SessionOptions): SqlOutcome<SqlSession> {
    const { sessions } = this.services.limits;
    if (this.open >= sessions) return limitFailure('sessions', sessions);
    this.open += 1;
    return {
      ok: true,
      value: new GatewaySession(this.servicesFor(options), () => {
        this.open -= 1;
      }),
    };
  }

  private servicesFor(options: SessionOptions | undefined): SessionServices {
    const { readDefault } = this.services;
    const { readPreference = readDefault, readOnly = false, bookmark = null } = options ?? {};
    return readPreference === readDefault && !readOnly && bookmark === null
      ? this.services
      : { ...this.services, readDefault: readPreference, readOnly, bookmark };
  }
}
