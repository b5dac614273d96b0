/** Who may use the admin API: holders of a token as far as its scope goes, and of the cluster's secret for everything. */
import type { IncomingMessage } from 'node:http';
import { type Admission, holdsSecret, type Right } from '../../regions/index.ts';
import { mainBranch } from '../../storage/index.ts';
import { describeError } from '../sql/errors.ts';
import type { SqlError, SqlOutcome } from '../sql/sql.ts';
import { type Authenticator, beyondBranch, beyondScope, type Grant } from './auth.ts';

/** Agents and gateways, and the command line of the deployment's own machine. */
const secretGrant: Grant = {
  expiresAtMs: null,
  scope: 'admin',
  branch: null,
  subject: 'the cluster secret',
  owner: 'the cluster secret',
  key: null,
};

/** What an `Authorization` header allows in the admin API, or why it allows nothing. */
export async function adminGrant(
  authorization: string | undefined,
  auth: Authenticator,
  secret: string,
): Promise<SqlOutcome<Grant>> {
  if (holdsSecret(authorization, secret)) return { ok: true, value: secretGrant };
  return await auth.verifyHeader(authorization);
}

/** The same of the upgrade to an admin WebSocket, which only looks. */
export function upgradeGrant(
  request: IncomingMessage,
  auth: Authenticator,
  secret: string,
): Promise<SqlOutcome<Grant>> {
  return adminGrant(request.headers.authorization, auth, secret);
}

const refused = (who: string | null, error: SqlError): Admission => ({
  kind: 'refused',
  who,
  status: describeError(error.code).httpStatus,
  error,
});

/** Whether a request may look at the deployment, or change it (G42). */
export async function admit(
  authorization: string | undefined,
  right: Right,
  auth: Authenticator,
  secret: string,
): Promise<Admission> {
  const grant = await adminGrant(authorization, auth, secret);
  if (!grant.ok) return refused(null, grant.error);
  const who = nameOf(grant.value);
  const beyond =
    right === 'admin'
      ? (beyondScope(grant.value, 'admin', 'This') ?? beyondBranch(grant.value, mainBranch))
      : null;
  return beyond === null ? { kind: 'admitted', who } : refused(who, beyond);
}

/** Who acts, for the audit: the subject and the name of the key, never the token. */
function nameOf({ subject, key, owner }: Grant): string {
  if (key === null) return subject ?? 'anybody: this gateway is open';
  return `${subject ?? owner} (key ${key.kid ?? key.thumbprint.slice(0, 8)})`;
}
